"""A history and points in time → what had been seen by each of them, day by day: the cases forecasts are made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from broker.decide.demand import Demand, demand
from broker.decide.forecast.arriving import arrivals
from broker.decide.forecast.running import drawn_ends, last_seen, survivors
from broker.decide.forecast.series import as_jobs
from broker.decide.workload import Floats, Workload

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
FEW = 3  # blocks
REACH = 90  # blocks back that cases are taken from


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Blocks of time (days), one after another, and what was known as each began. Levels are GPUs, averaged over slots.

    Row i may be read for a forecast made as block i begins, and only rows before i of `come` and `busy`.
    """

    block_s: float
    stay: Floats  # (blocks, paths, slots ahead): what jobs that ran as a block began may hold from then on
    come: Floats  # (blocks, slots ahead): what jobs submitted in a block held from its begin on
    busy: Floats  # (blocks, slots of a block): what all jobs held in it
    level: Floats  # (blocks,): what was held at the very begin of each

    def __len__(self) -> int:
        return len(self.level)

    @property
    def slots(self) -> int:
        """How many slots a block has."""
        return int(self.busy.shape[1])

    @property
    def ahead(self) -> int:
        """How many slots from a block's begin on are asked for."""
        return int(self.come.shape[1])

    def rows(self, i: int) -> slice:
        """The earlier blocks that cases for block i are taken from.

        The first of all is left out once there are a few: in it a record often fills with what had been there before.
        """
        return slice(max(i - REACH, int(i > FEW), 0), i)

    def followers(self, i: int, later: int) -> npt.NDArray[np.int64]:
        """The block so much later than each of `rows(i)`; where that is not over yet, one whole weeks before it."""
        week = min(max(round(WEEK_S / self.block_s), 1), i - self.rows(i).start)
        after = np.arange(self.rows(i).start, i) + later
        back: npt.NDArray[np.int64] = after - np.maximum(-((i - 1 - after) // week), 0) * week
        return back

    def weights(self, i: int, half_life_s: float, alike: float) -> Floats:
        """How much each of `rows(i)` counts, of sum 1: half after `half_life_s`, at least two blocks; more where alike.

        Alike are blocks on the same weekday; of blocks shorter than a day, those at the same time of day.
        """
        ago_s = (i - np.arange(self.rows(i).start, i)) * self.block_s
        cycle_s = WEEK_S if self.block_s >= DAY_S else DAY_S
        same = np.abs(ago_s - np.round(ago_s / cycle_s) * cycle_s) < self.block_s / 2
        age = (ago_s - self.block_s) / max(half_life_s, 2 * self.block_s)
        weights = 0.5**age * np.where(same, alike, 1.0)
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def known_at(history: Workload | Demand, now_s: float) -> Workload | Demand:
    """What was known at a time: of jobs, as `Workload.known_at` says; of a series, the steps that were over."""
    if isinstance(history, Workload):
        return history.known_at(now_s)
    return Demand(step_s=history.step_s, gpus=history.gpus[: int(now_s / history.step_s + 1e-9)])


def days_before(known: Workload | Demand, now_s: float, slot_s: float, ahead: int, rng: np.random.Generator) -> Past:
    """Blocks of a day up to a time, as many as are of use; the last begins then, and has a day of slots at least."""
    days = min(int(now_s // DAY_S), REACH)
    starts_s: Floats = now_s - DAY_S * np.arange(days, -1, -1, dtype=np.float64)
    return past(known, starts_s, DAY_S, slot_s, max(ahead, round(DAY_S / slot_s)), rng)


def past(
    history: Workload | Demand,
    starts_s: Floats,
    block_s: float,
    slot_s: float,
    ahead: int,
    rng: np.random.Generator,
) -> Past:
    """What was known as each block began, with `ahead` slots from there; blocks follow each other without gaps.

    With more slots ahead than a block has, rows before the last hold some of what was known only as the last began.
    """
    jobs = as_jobs(history) if isinstance(history, Demand) else history
    slots = round(block_s / slot_s)
    end_s = jobs.end_s if ahead <= slots else drawn_ends(jobs, float(starts_s[-1]), rng)
    return Past(
        block_s=block_s,
        stay=survivors(jobs, starts_s, slot_s, ahead, rng),
        come=arrivals(jobs.submit_s, end_s, jobs.gpus, starts_s, block_s, slot_s, ahead),
        busy=_busy(history, jobs, starts_s, slots, slot_s),
        level=_level(jobs, starts_s),
    )


def _busy(history: Workload | Demand, jobs: Workload, starts_s: Floats, slots: int, slot_s: float) -> Floats:
    offset, count = float(starts_s[0]), len(starts_s) * slots
    if isinstance(history, Demand):
        upto = np.concatenate([[0.0], np.cumsum(history.gpus)])
        edges = np.minimum((offset + np.arange(count + 1) * slot_s) / history.step_s, len(history))
        held: Floats = np.diff(np.interp(edges, np.arange(len(upto)), upto)) / np.maximum(np.diff(edges), 1e-9)
        return held.reshape(len(starts_s), slots)
    shifted = _from(jobs, offset)
    return demand(shifted, slot_s, (count + 0.5) * slot_s).gpus.reshape(len(starts_s), slots)


def _from(jobs: Workload, offset_s: float) -> Workload:
    """The parts of jobs from a time on, which becomes second 0."""
    begun = np.maximum(jobs.submit_s, offset_s)
    left = jobs.end_s - begun
    return Workload.of(begun[left > 0] - offset_s, left[left > 0], jobs.gpus[left > 0])


def _level(jobs: Workload, starts_s: Floats) -> Floats:
    end_s = last_seen(jobs, float(starts_s[-1]))
    order = np.argsort(end_s, kind="stable")
    up = np.concatenate([[0.0], np.cumsum(jobs.gpus)])[np.searchsorted(jobs.submit_s, starts_s, side="left")]
    gone = np.concatenate([[0.0], np.cumsum(jobs.gpus[order])])
    level: Floats = np.maximum(up - gone[np.searchsorted(end_s[order], starts_s, side="right")], 0.0)
    return level
