"""The clock of a process that measures usage: the wall clock, which never goes back."""

from __future__ import annotations

import time


class SteadyClock:
    """Nanoseconds since the epoch; goes on with the monotonic clock while the wall clock is behind."""

    def __init__(self, not_before_ns: int = 0) -> None:
        self._last_ns = not_before_ns
        self._monotonic_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """At least as much later than the last answer as time has passed."""
        monotonic_ns = time.monotonic_ns()
        self._last_ns = max(time.time_ns(), self._last_ns + monotonic_ns - self._monotonic_ns)
        self._monotonic_ns = monotonic_ns
        return self._last_ns
