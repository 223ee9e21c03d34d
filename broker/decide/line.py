"""The line of a pool: short jobs that are launched before there is room, each for the place of one like it that ends.

The pool then fills a place at the moment it comes free. A job of milliseconds would otherwise take longer to be sent
after the one before it than to run. Only what would have waited for this very pool stands in line: that changes when a
job is launched, never where.
"""

from __future__ import annotations

from typing import Final

from broker.decide.pool_state import PoolState
from broker.decide.quote import Ask, Option

# Nine in ten of the jobs that may stand in line end within this.
SHORT_S: Final = 0.5
# The place that one waits for is expected to be free within this; what runs counts as a second at least.
WITHIN_S: Final = 2.0
# All that stands in line is thought to run no longer than this: so long, at most, it holds up what is more urgent.
WORK_S: Final = 1.0


class Line:
    """The line of one pool in one round of placements."""

    def __init__(self, state: PoolState) -> None:
        waiting = [attempt for attempt in state.running if attempt.in_line]
        allowed = state.capacity.line if state.capacity and state.problem is None else 0
        self._work_s = sum(attempt.remaining_s for attempt in waiting)
        # It is filled when half of it has gone: many launched at once cost less than one after the other.
        half_gone = 2 * len(waiting) <= allowed and 2 * self._work_s <= WORK_S
        self._left = allowed - len(waiting) if half_gone else 0
        self._served = {(attempt.resources, attempt.key) for attempt in state.running if attempt.num_nodes == 1}

    def admits(self, ask: Ask, option: Option) -> bool:
        """Whether a job may be launched now for a place that comes free soon."""
        quote, spot = option.quote, option.spot
        return (
            self._left > 0
            and ask.duration.p90_s <= SHORT_S
            and self._work_s + ask.duration.p50_s <= WORK_S
            and not (spot.now or spot.fresh or spot.cold)
            and spot.start_in_s <= WITHIN_S
            and ask.spec.runtime != "ray"
            and (quote.resources, ask.key) in self._served
        )

    def take(self, option: Option) -> None:
        """One more stands in it."""
        self._left -= 1
        self._work_s += option.quote.duration.p50_s
