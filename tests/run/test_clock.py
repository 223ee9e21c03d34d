"""The clock that never goes back."""

import time

from broker.run.clock import SystemClock


def test_it_follows_the_wall_clock() -> None:
    assert abs(SystemClock().now_ns() - time.time_ns()) < 1_000_000_000


def test_it_goes_on_from_the_time_already_used_when_the_wall_clock_is_behind() -> None:
    ahead = time.time_ns() + 3_600_000_000_000
    clock = SystemClock(ahead)
    first, second = clock.now_ns(), clock.now_ns()
    assert ahead <= first < second < ahead + 60_000_000_000
