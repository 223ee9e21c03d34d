"""The choice of how to keep containers warm: never dearer than what was tried, within limits, and true to a promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.warm import Bounds, Promise, Wanted, choose, play
from broker.decide.workload import Workload
from broker.model.pools import KeepWarm


def jobs(seed: int, count: int = 300) -> Workload:
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(rng.choice([2.0, 30.0, 600.0], count))
    return Workload.of(gaps.cumsum(), rng.lognormal(3, 1, count), np.ones(count))


@given(
    seed=st.integers(0, 2**32 - 1),
    cold=st.floats(0.5, 120.0),
    most=st.integers(0, 8),
    promised=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_no_setting_that_is_usual_is_better(seed: int, cold: float, most: int, promised: bool) -> None:
    seen = jobs(seed)
    promise = Promise(within_s=0.1, share=0.7) if promised else None
    wanted = Wanted(cold_start_s=cold, promise=promise, bounds=Bounds(most_containers=most))
    choice = choose(seen, wanted)
    assert 2.0 <= choice.setting.scaledown_window_s <= 1_200.0
    assert max(choice.setting.min_containers, choice.setting.buffer_containers) <= most
    assert choice.keeps == (not promised or choice.played.warm_share >= 0.7)
    for window_s in (2.0, 60.0, 1_200.0):
        other = play(seen, KeepWarm(scaledown_window_s=window_s), cold)
        if not choice.keeps:
            assert not wanted.kept(other)
        elif wanted.kept(other):
            assert choice.played.paid_gpu_s <= other.paid_gpu_s * 1.05


def test_a_promise_costs_containers_that_wait() -> None:
    seen = jobs(7)
    without = choose(seen, Wanted(cold_start_s=10.0, bounds=Bounds(most_containers=16)))
    promise = Promise(within_s=1.0, share=0.95)
    with_it = choose(seen, Wanted(cold_start_s=10.0, promise=promise, bounds=Bounds(most_containers=16)))
    assert without.played.warm_share < 0.95 <= with_it.played.warm_share
    assert with_it.played.paid_gpu_s > without.played.paid_gpu_s
    assert "is kept" in with_it.reason


def test_a_promise_that_every_cold_start_keeps_costs_nothing() -> None:
    seen = jobs(7)
    promise = Promise(within_s=10.0, share=0.99)
    easy = choose(seen, Wanted(cold_start_s=10.0, promise=promise))
    assert easy.keeps and easy.setting == choose(seen, Wanted(cold_start_s=10.0)).setting


def test_what_limits_forbid_is_said() -> None:
    promise = Promise(within_s=1.0, share=0.999)
    choice = choose(jobs(7), Wanted(cold_start_s=10.0, promise=promise, bounds=Bounds(most_window_s=5.0)))
    assert not choice.keeps and "can't be kept" in choice.reason


@pytest.mark.parametrize("least", [0, 3])
def test_without_jobs_as_little_is_kept_as_is_allowed(least: int) -> None:
    nothing = Workload.of([], [], [])
    choice = choose(nothing, Wanted(cold_start_s=10.0, bounds=Bounds(least_containers=least, most_containers=5)))
    assert choice.setting == KeepWarm(scaledown_window_s=2.0, min_containers=least)
    assert "no jobs" in choice.reason


def test_words_name_what_keeping_warm_saves() -> None:
    every_second = Workload.of(np.arange(200) * 2.0, np.ones(200), np.ones(200))
    choice = choose(every_second, Wanted(cold_start_s=10.0))
    assert choice.apart.cold_starts == 200 and choice.played.cold_starts <= 12
    assert "less than a container for each job" in choice.reason
