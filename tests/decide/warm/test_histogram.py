"""The hybrid histogram, on patterns whose idle times are known, and in what it may know."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.warm import Histogram, play_histogram
from broker.decide.workload import Workload


def every(gaps: list[float], runs_s: float = 30.0) -> Workload:
    """One job after another, each so long after the end of the one before."""
    begins = np.concatenate([[0.0], np.cumsum(np.array(gaps) + runs_s)])
    return Workload.of(begins, np.full(len(begins), runs_s), np.ones(len(begins)))


def test_a_regular_job_finds_a_container_that_came_up_again_before_it() -> None:
    found = play_histogram(every([270.0] * 99), 0.0)
    assert found.cold_starts == 1
    assert found.started_ahead == 99 - 1 + 1  # from the second idle time on, the one after the last job included
    up_again_s, gone_s = 0.9 * 240, 1.1 * 300
    assert found.idle_gpu_s == pytest.approx(270 + 98 * (270 - up_again_s) + (gone_s - up_again_s))


def test_short_gaps_are_kept_through() -> None:
    found = play_histogram(every([20.0] * 50), 0.0)
    assert (found.cold_starts, found.started_ahead) == (1, 0)
    assert found.idle_gpu_s == pytest.approx(50 * 20 + 1.1 * 60)


def test_where_the_pattern_says_little_it_is_kept_for_the_range() -> None:
    spread = [60.0 * place + 30.0 for place in range(10)] * 3
    found = play_histogram(every(spread), 0.0, Histogram(bins=10))
    assert (found.cold_starts, found.started_ahead) == (3, 0)  # one and two idle times look like a pattern
    assert found.idle_gpu_s == pytest.approx(30 + 66 + 132 + sum(spread[3:]) + 600)


def test_what_is_out_of_range_is_forecast() -> None:
    found = play_histogram(every([20_000.0] * 40), 0.0)
    assert found.cold_starts == 2  # the first, and the one after the first idle time, which nothing was known of
    assert found.idle_gpu_s == pytest.approx(14_400 + 39 * 0.15 * 20_000 + 0.3 * 20_000)


def test_an_alternation_out_of_range_is_followed() -> None:
    found = play_histogram(every([16_000.0, 40_000.0] * 30), 0.0)
    assert found.cold_starts <= 5


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 60))
@settings(deadline=None, max_examples=40)
def test_what_comes_later_changes_nothing_before(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    jobs = Workload.of(
        np.cumsum(rng.exponential(300.0, count)), rng.exponential(100.0, count), rng.integers(1, 3, count)
    )
    starts = [play_histogram(jobs.take(np.arange(k)), 5.0).cold_starts for k in range(count + 1)]
    assert set(np.diff(starts)) <= {0, 1}


def test_what_is_learnt_from_alone_costs_nothing() -> None:
    jobs = every([270.0] * 99)
    half = float(np.median(jobs.submit_s))
    later = play_histogram(jobs, 0.0, counted_from_s=half)
    assert (later.jobs, later.cold_starts) == (50, 0)
    assert later.held_gpu_s == 50 * 30.0
