"""How long containers stay warm: what is counted is what a simulation pays, and no other window costs less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.warm import LEAST_S, MOST_S, best_window_s, idle_times
from broker.decide.workload import Workload
from simulator.jobs import Rule, Terms, run


def workload(seed: int, count: int) -> Workload:
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(rng.choice([5.0, 50.0, 5_000.0], count))
    return Workload.of(gaps.cumsum(), rng.lognormal(3, 1, count), rng.choice([0.5, 1, 8], count))


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 80), window=st.floats(0.0, 2_000.0))
@settings(max_examples=60)
def test_it_is_what_the_simulation_pays(seed: int, count: int, window: float) -> None:
    jobs = workload(seed, count)
    idle = idle_times(jobs)
    found = run(jobs, Terms(cold_start_s=0.0, scaledown_window_s=window), Rule(max_nodes=0))
    assert idle.tail_gpu_s(window) == pytest.approx(found.tail_gpu_hours * 3_600, abs=1e-6)
    assert idle.cold_starts(window) == found.cold_starts


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 80), cold=st.floats(0.0, 600.0))
@settings(max_examples=60)
def test_no_other_window_costs_less(seed: int, count: int, cold: float) -> None:
    idle = idle_times(workload(seed, count))
    best = best_window_s(idle, cold)
    assert LEAST_S <= best <= MOST_S
    least = idle.cost_gpu_s(best, cold)
    others = [*np.linspace(LEAST_S, MOST_S, 300), *np.clip(idle.gap_s, LEAST_S, MOST_S)]
    assert idle.least_gpu_s(cold) <= least + 1e-6 * max(least, 1.0)
    assert all(idle.cost_gpu_s(other, cold) >= least - 1e-6 * max(least, 1.0) for other in others)


def test_regular_jobs_are_waited_for_only_where_that_pays() -> None:
    every_minute = Workload.of(np.arange(100) * 60.0, np.full(100, 30.0), np.ones(100))
    idle = idle_times(every_minute)
    assert best_window_s(idle, cold_start_s=60.0) == 30.0
    assert best_window_s(idle, cold_start_s=10.0) == LEAST_S


def test_no_job_and_one_job() -> None:
    nothing = idle_times(Workload.of([], [], []))
    assert (nothing.first_starts, best_window_s(nothing, 10.0)) == (0, LEAST_S)
    one = idle_times(Workload.of([5.0], [1.0], [2.0]))
    assert (one.cold_starts(60.0), one.tail_gpu_s(60.0)) == (1, 120.0)
