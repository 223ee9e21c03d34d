"""One node or container → what of it is free over time, as attempts end and as work is reserved on it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeAlias

from broker.decide.constraints import held_gpus
from broker.model.resources import Resources

Amounts: TypeAlias = tuple[float, float, float]  # virtual CPUs, bytes of memory, GPUs

_CLOSE = 1e-9


def amounts(resources: Resources) -> Amounts:
    """What resources keep from others; fractions of a GPU as `held_gpus` counts them."""
    return resources.cpus, float(resources.memory_bytes), held_gpus(resources.gpus)


def covers(free: Amounts, need: Amounts) -> bool:
    """Whether a need can be taken out of what is free."""
    return need[0] <= free[0] + _CLOSE and need[1] <= free[1] and need[2] <= free[2] + _CLOSE


def less(free: Amounts, taken: Amounts) -> Amounts:
    """What is left; never below zero."""
    return max(free[0] - taken[0], 0.0), max(free[1] - taken[1], 0.0), max(free[2] - taken[2], 0.0)


class Profile:
    """Free amounts as a step function of seconds from now; the last step lasts for ever."""

    __slots__ = ("_frees", "_times")

    def __init__(self, free: Amounts, total: Amounts, releases: Iterable[tuple[float, Amounts]] = ()) -> None:
        self._times = [0.0]
        self._frees = [free]
        cpus, memory, gpus = free
        for at_s, back in sorted(releases):
            cpus, memory, gpus = (
                min(cpus + back[0], total[0]),
                min(memory + back[1], total[1]),
                min(gpus + back[2], total[2]),
            )
            self._times.append(at_s)
            self._frees.append((cpus, memory, gpus))

    @property
    def now(self) -> Amounts:
        """What is free this moment."""
        return self._frees[0]

    def changes(self) -> tuple[float, ...]:
        """The times at which what is free changes, the present first."""
        return tuple(self._times)

    def earliest(self, need: Amounts, duration_s: float, from_s: float = 0.0) -> float | None:
        """From when on, not before `from_s`, a need can be held for a time; None: never."""
        # Written out, without calls: with many jobs waiting, this is where a round of placements spends its time.
        cpus, memory, gpus = need[0] - _CLOSE, need[1], need[2] - _CLOSE
        times, frees = self._times, self._frees
        start: float | None = None
        for step in range(bisect_right(times, from_s) - 1, len(times)):
            if start is not None and times[step] >= start + duration_s:
                return start
            free = frees[step]
            if free[0] < cpus or free[1] < memory or free[2] < gpus:
                start = None
            elif start is None:
                start = times[step] if times[step] > from_s else from_s
        return start

    def take(self, need: Amounts, from_s: float, until_s: float) -> None:
        """Reserves a need for a time."""
        first, last = self._cut(from_s), self._cut(until_s)
        for step in range(first, last):
            self._frees[step] = less(self._frees[step], need)

    def _cut(self, at_s: float) -> int:
        step = bisect_right(self._times, at_s) - 1
        if self._times[step] == at_s:
            return step
        self._times.insert(step + 1, at_s)
        self._frees.insert(step + 1, self._frees[step])
        return step + 1
