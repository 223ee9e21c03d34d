"""The line of a pool: short jobs that are launched before there is room, each for the place of one like it that ends.

The pool then fills a place at the moment it comes free. A job of milliseconds would otherwise take longer to be sent
after the one before it than to run. Only what would have waited for this very pool stands in line: that changes when a
job is launched, never where.
"""

from __future__ import annotations

from typing import Final

from broker.decide.pool_state import PoolState
from broker.decide.quote import Ask, Option
from broker.model.resources import Resources

# Nine in ten of the jobs that may stand in line end within this.
SHORT_S: Final = 0.5
# The place that one waits for is expected to be free within this; what runs counts as a second at least.
WITHIN_S: Final = 2.0
# All that stands in line for a place is thought to be done in this: so long, at most, it holds up what is more urgent.
WORK_S: Final = 1.0
# So many short jobs for each place: more of them would have to wait for seconds, as each takes longer than it runs.
JOBS: Final = 64
_MOST_PLACES: Final = 64  # that are counted


class Line:
    """The line of one pool in one round of placements."""

    def __init__(self, state: PoolState) -> None:
        waiting = [attempt for attempt in state.running if attempt.in_line]
        self._allowed = state.capacity.line if state.capacity and state.problem is None else 0
        self._jobs = self._jobs_before = len(waiting)
        self._work_s = self._work_before_s = sum(attempt.remaining_s for attempt in waiting)
        self._served = {(attempt.resources, attempt.key) for attempt in state.running if attempt.num_nodes == 1}
        self._units = [unit.total for unit in state.capacity.units if unit.ready] if state.capacity else []
        self._places: dict[Resources, int] = {}

    def admits(self, ask: Ask, option: Option) -> bool:
        """Whether a job may be launched now for a place that comes free soon."""
        quote, spot = option.quote, option.spot
        return (
            self._jobs < self._allowed
            and ask.duration.p90_s <= SHORT_S
            and not (spot.now or spot.fresh or spot.cold)
            and spot.start_in_s <= WITHIN_S
            and ask.spec.runtime != "ray"
            and (quote.resources, ask.key) in self._served
            and self._has_room(ask.duration.p50_s, self._places_of(quote.resources))
        )

    def _has_room(self, more_s: float, places: int) -> bool:
        """Whether it may be so much longer. It is filled when half of it has gone: many at once cost less than each."""
        most, most_s = min(self._allowed, JOBS * places), WORK_S * places
        half_gone = 2 * self._jobs_before <= most and 2 * self._work_before_s <= most_s
        return half_gone and self._jobs < most and self._work_s + more_s <= most_s

    def _places_of(self, held: Resources) -> int:
        """How many attempts that hold so much run at once, one at least."""
        if held not in self._places:
            self._places[held] = max(sum(_fitting(held, unit) for unit in self._units), 1)
        return self._places[held]

    def take(self, option: Option) -> None:
        """One more stands in it."""
        self._jobs += 1
        self._work_s += option.quote.duration.p50_s


def _fitting(held: Resources, unit: Resources) -> int:
    count = 0
    while count < _MOST_PLACES and unit.fits(held):
        unit, count = unit.minus(held), count + 1
    return count
