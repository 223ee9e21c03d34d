"""Virtual time: actions at times → the same, one after the other, with no time between them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class VirtualClock:
    """Shows the time of the action that happens. Of two at one time, the one that was planned first happens first."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._planned: list[tuple[int, int, Action]] = []
        self._number = count()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now_ns

    def at(self, time_ns: int, action: Action) -> None:
        """Plans an action; one that should have happened before happens next."""
        heapq.heappush(self._planned, (max(time_ns, self._now_ns), next(self._number), action))

    def after(self, seconds: float, action: Action) -> None:
        """Plans an action so many seconds from now."""
        self.at(self._now_ns + round(seconds * 1e9), action)

    def step(self) -> bool:
        """Lets the next action happen; False where none is planned."""
        if not self._planned:
            return False
        self._now_ns, _, action = heapq.heappop(self._planned)
        action()
        return True
