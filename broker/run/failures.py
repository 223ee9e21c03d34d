"""What fails that should not have → the log with its traceback, a number in the metrics, a pause, and on it goes.

One part of the broker that fails is no reason for the others to end: it is begun anew, after pauses that grow.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from broker.decide.backoff import doubling
from broker.model.errors import BrokerError

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
WELL_AFTER_S: Final = 60.0  # what has gone on for so long has recovered
VITAL: Final = ("session", "dispatching")  # while these keep failing, nothing is begun


@dataclass(frozen=True, slots=True)
class _Row:
    """Failures of one part, one soon after the other."""

    length: int
    last_s: float  # by the monotonic clock
    why: str  # of the last; "" where the cause lies outside, and whoever asks for it hears of it there


class Failures:
    """The failures of one broker's parts since it was started."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._rows: dict[str, _Row] = {}

    def failed(self, part: str, error: Exception) -> float:
        """Notes a failure, and says after how many seconds the part is to be begun anew."""
        pause_s = self._lengthen(part, _known(error) or repr(error))
        self.count[part] += 1
        if known := _known(error):
            log.error("a part of the broker failed; it is begun anew", part=part, error=known, again_in_s=pause_s)
        else:
            log.error("a part of the broker failed; it is begun anew", part=part, again_in_s=pause_s, exc_info=error)
        return pause_s

    def again(self, part: str) -> float:
        """The pause before a part that had to end, but did not fail, is begun anew: longer each time in a row."""
        return self._lengthen(part, "")

    def _lengthen(self, part: str, why: str) -> float:
        row, now_s = self._rows.get(part), monotonic()
        before = row.length if row and now_s - row.last_s < _pause_s(row.length) + WELL_AFTER_S else 0
        self._rows[part] = _Row(before + 1, now_s, why)
        return _pause_s(before + 1)

    def well(self, part: str) -> None:
        """It has done what it is for."""
        self._rows.pop(part, None)

    @property
    def problem(self) -> str | None:
        """Why nothing is begun: a vital part that has failed more than once and has not recovered since."""
        now_s = monotonic()
        for part in VITAL:
            row = self._rows.get(part)
            if row and row.why and row.length > 1 and now_s - row.last_s < _pause_s(row.length) + WELL_AFTER_S:
                return f"{part} has failed {row.length} times in a row ({row.why}); the log says where"
        return None

    async def keep_going(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does work that ends only when it is cancelled; where it fails, again and again."""
        while True:
            try:
                await work()
                return
            except Exception as error:
                await asyncio.sleep(self.failed(part, error))


def _pause_s(failures: int) -> float:
    return doubling(FIRST_PAUSE_S, failures - 1, LONGEST_PAUSE_S)


def _known(error: Exception) -> str:
    """What an error says for which nobody need look into the code; "" where somebody has to."""
    if isinstance(error, ExceptionGroup):
        said = [_known(each) for each in error.exceptions]
        return "; ".join(dict.fromkeys(said)) if all(said) else ""
    return str(error) if isinstance(error, BrokerError) else ""
