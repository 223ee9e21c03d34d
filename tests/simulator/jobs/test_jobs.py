"""Jobs one by one: the same as a second program finds, bounds that hold for any workload, and bad input refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simpy_twin import Twin
from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.jobs import Rule, Terms, run


def workload(seed: int, count: int, load: float) -> Workload:
    """Jobs at random; no two events fall together."""
    rng = np.random.default_rng(seed)
    duration = rng.lognormal(5, 1.5, count)
    gpus = rng.choice([0.25, 1, 1, 2, 4, 8, 16, 24], count)
    gap = duration.mean() * gpus.mean() / load
    return Workload.of(rng.exponential(gap, count).cumsum(), duration, gpus)


def terms(rng: np.random.Generator) -> Terms:
    return Terms(
        node_gpus=float(rng.choice([4, 8])),
        boot_s=rng.uniform(0, 600),
        node_idle_s=rng.uniform(0, 600),
        node_minimum_s=rng.uniform(0, 3600),
        cold_start_s=rng.uniform(0, 30),
        scaledown_window_s=rng.uniform(0, 120),
        billing_s=float(rng.choice([0.1, 1.0, 60.0])),
    )


CASES: dict[str, Any] = {
    "seed": st.integers(0, 2**32 - 1),
    "count": st.integers(1, 120),
    "load": st.floats(1.0, 120.0),
    "min_nodes": st.integers(0, 4),
    "more_nodes": st.integers(0, 8),
    "waits": st.sampled_from(["never", "constant", "in proportion", "for ever"]),
}


def case(seed: int, count: int, load: float, min_nodes: int, more_nodes: int, waits: str) -> tuple[Any, Terms, Rule]:
    rng = np.random.default_rng(seed)
    waiting = {
        "never": {},
        "constant": {"wait_s": rng.uniform(1, 2000)},
        "in proportion": {"wait_per_second": rng.uniform(0.1, 3)},
        "for ever": {"wait_s": float("inf")},
    }[waits]
    rule = Rule(min_nodes=min_nodes, max_nodes=min_nodes + more_nodes, **waiting)
    return workload(seed, count, load), terms(rng), rule


@given(**CASES)
@settings(max_examples=150)
def test_it_comes_to_what_simpy_finds(**drawn: Any) -> None:
    jobs, costs, rule = case(**drawn)
    ours, theirs = run(jobs, costs, rule), Twin(jobs, costs, rule)
    assert theirs.run() == pytest.approx(ours.end_s, rel=1e-12)
    assert ours.cluster_gpu_hours == pytest.approx(theirs.node_gpu_s / 3600, rel=1e-9)
    assert ours.serverless_gpu_hours == pytest.approx(theirs.serverless_gpu_s / 3600, rel=1e-9)
    assert ours.tail_gpu_hours == pytest.approx(theirs.tail_gpu_s / 3600, rel=1e-9, abs=1e-9)
    assert ours.mean_wait_s * len(jobs) == pytest.approx(theirs.wait_s, rel=1e-9, abs=1e-6)


@given(**CASES)
@settings(max_examples=80)
def test_every_job_runs_once_in_time_and_within_what_is_held(**drawn: Any) -> None:
    jobs, costs, rule = case(**drawn)
    found = run(jobs, costs, rule, trail=True)
    waited = found.start_s - jobs.submit_s
    patience = rule.wait_s + rule.wait_per_second * jobs.duration_s
    assert (waited >= 0).all()
    assert (waited <= patience + costs.cold_start_s + 1e-6).all()
    assert found.end_s == pytest.approx((found.start_s + jobs.duration_s).max())
    here = ~found.serverless
    times = np.concatenate([found.start_s[here], (found.start_s + jobs.duration_s)[here]])
    change = np.concatenate([jobs.gpus[here], -jobs.gpus[here]])
    order = np.lexsort((change, times))
    assert change[order].cumsum().max(initial=0.0) <= rule.max_nodes * costs.node_gpus + 1e-6
    assert found.cluster_gpu_hours >= (jobs.gpus * jobs.duration_s)[here].sum() / 3600 - 1e-9
    assert found.on_serverless == found.serverless.sum()


def test_a_gang_waits_for_whole_nodes() -> None:
    jobs = Workload.of([0, 1], [100, 50], [1, 16])
    found = run(jobs, Terms(), Rule(min_nodes=2, max_nodes=2, wait_s=1e6), trail=True)
    assert found.start_s.tolist() == [0, 100]


def test_one_container_serves_jobs_that_follow_each_other() -> None:
    jobs = Workload.of([0, 100, 1000], [50, 50, 50], [1, 1, 1])
    costs = Terms(cold_start_s=10, scaledown_window_s=60)
    found = run(jobs, costs, Rule(max_nodes=0), trail=True)
    assert found.cold_starts == 2
    assert found.start_s.tolist() == [10, 100, 1010]
    assert found.tail_gpu_hours * 3600 == pytest.approx(40 + 60 + 60)
    assert found.serverless_gpu_hours * 3600 == pytest.approx(60 + 50 + 60)


def test_memory_is_for_what_is_in_flight_and_nothing_is_kept_unasked() -> None:
    found = run(workload(1, 20_000, 30.0), Terms(), Rule(max_nodes=4))
    assert len(found.start_s) == 0
    assert found.most_in_flight < 200


@pytest.mark.parametrize(
    ("rule", "named"), [(Rule(min_nodes=3, max_nodes=2), "min_nodes 3"), (Rule(wait_s=-1), "times")]
)
def test_what_can_t_hold_is_refused(rule: Rule, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        run(workload(1, 5, 1.0), Terms(), rule)
    with pytest.raises(InvalidInput, match="no job"):
        run(Workload.of([], [], []), Terms(), Rule())
