"""The wall clock made safe: nanoseconds since the epoch that never go back.

The system's clock may be set back under a running process; durations and order must not suffer from it.
"""

from __future__ import annotations

import threading
import time


class SystemClock:
    """Follows the wall clock forwards, and the monotonic clock while the wall clock is behind."""

    def __init__(self, not_before_ns: int = 0) -> None:
        """`not_before_ns`: time that an earlier process has already used, whatever the wall clock says now."""
        self._lock = threading.Lock()
        self._last_ns = not_before_ns
        self._last_monotonic_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch; at least as much later than the last answer as time has really passed."""
        with self._lock:
            monotonic_ns = time.monotonic_ns()
            passed_ns = monotonic_ns - self._last_monotonic_ns
            self._last_monotonic_ns = monotonic_ns
            self._last_ns = max(time.time_ns(), self._last_ns + passed_ns)
            return self._last_ns
