"""Simple rules that say of one level of GPUs, step by step, whether to hold it: the experts among whom one leads.

A level is a slice of the demand, one node wide: level 0 is busy when anything is, level k when more than k nodes are.
Each rule is the right one for some workload: hold what is busy now (training jobs, which last); hold it a while longer
(gaps that are shorter than a boot is dear); wait before holding (short bursts); hold what has been busy for most of the
last hours (request traffic); hold what is busy at this time of the day (people); hold what will be busy after a boot if
the load rises as it usually does at this time (people, where booting takes long).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from broker.decide.workload import Floats

NEVER = 1 << 30

_DELAYS = (0, 1, 2, 4, 8)
_HOLDS = (0, 1, 2, 3, 4, 6, 12, 36, 144)
_LOOKBACKS = (3.0, 12.0, 36.0, 144.0, 576.0, 4_032.0)
_DAYS = (3.0, 10.0)

# Signals by which a level is busy or idle: at the start of the step, over the last one, and after a boot if the load
# rises as it usually does in a day or in a week. Then averages of how busy it was: lately, and at this hour.
NOW, LAST, DAILY, WEEKLY, SHARE, SEASON = range(6)
_SIGNALS = ("busy now", "busy in the last step", "busy soon, as daily", "busy soon, as weekly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """One column a parameter, one row an expert, for compiled loops."""

    kind: npt.NDArray[np.int64]  # a signal, SHARE or SEASON
    delay: npt.NDArray[np.int64]  # steps that a level must have been busy before it is held
    hold: npt.NDArray[np.int64]  # steps that it is held after it was last busy
    memory: Floats  # of SHARE in steps, of SEASON in days: the time constant of its average

    def __len__(self) -> int:
        return len(self.kind)

    def name(self, row: int) -> str:
        """What it does, in words."""
        kind, memory = self.kind[row], self.memory[row]
        if kind == SHARE:
            return f"busy share of the last {memory:g} steps"
        if kind == SEASON:
            return f"busy share at this hour over the last {memory:g} days"
        if self.delay[row] == NEVER:
            return "never hold"
        return f"{_SIGNALS[kind]}: hold after {self.delay[row]} steps, until idle for {self.hold[row]}"


def experts() -> Experts:
    """All of them. The first holds what is busy now: it decides until another has been cheaper."""
    rows: list[tuple[int, int, int, float]] = [
        (kind, delay, hold, 0.0) for kind in (NOW, LAST) for delay in _DELAYS for hold in _HOLDS
    ]
    rows.append((NOW, NEVER, 0, 0.0))
    rows += [(SHARE, 0, 0, memory) for memory in _LOOKBACKS]
    rows += [(SEASON, 0, 0, days) for days in _DAYS]
    rows += [(kind, 0, hold, 0.0) for kind in (DAILY, WEEKLY) for hold in _HOLDS]
    kind, delay, hold, memory = zip(*rows, strict=True)
    return Experts(
        kind=np.array(kind, np.int64),
        delay=np.array(delay, np.int64),
        hold=np.array(hold, np.int64),
        memory=np.array(memory, np.float64),
    )
