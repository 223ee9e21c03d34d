"""Jobs one by one: what holds for any workload, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from simulator.jobs import Rule, Spot, Terms, document, run, run_parts
from simulator.traces import parts
from tests.simulator.jobs.cases import CASES, case, workload


def work_gpu_hours(jobs: Workload) -> float:
    return float((jobs.gpus * jobs.duration_s).sum()) / 3600


@given(**CASES)
@settings(max_examples=60)
def test_work_in_is_work_done_and_work_lost(**drawn: Any) -> None:
    jobs, terms, rule = case(**drawn)
    found = run(jobs, terms, rule, trail=True)
    ran = found.busy_gpu_hours + found.parts["serverless"] / terms.serverless
    assert ran == pytest.approx(work_gpu_hours(jobs) + found.lost_gpu_hours, rel=1e-9)
    assert found.jobs == len(jobs) == found.waits.jobs.sum()
    assert (found.ended_s > found.start_s).all()
    assert (found.start_s >= jobs.submit_s).all()
    assert found.end_s == found.ended_s.max()
    assert found.cost == pytest.approx(sum(found.parts.values()))
    assert found.busy_gpu_hours <= found.cluster_gpu_hours + found.spot_gpu_hours + 1e-9


@given(**CASES)
@settings(max_examples=60)
def test_jobs_wait_no_longer_than_they_may_and_within_what_is_held(**drawn: Any) -> None:
    jobs, terms, rule = case(**{**drawn, "trouble": "none"})
    rule = replace(rule, estimate_error=0.0)
    found = run(jobs, terms, rule, trail=True)
    by_size = rule.wait_per_second + rule.wait_per_gpu_second * jobs.gpus
    patience = np.where(jobs.duration_s < rule.wait_from_s, 0.0, rule.wait_s + by_size * jobs.duration_s)
    assert (found.start_s - jobs.submit_s <= patience + terms.cold_start_s + 1e-6).all()
    assert found.ended_s - found.start_s == pytest.approx(jobs.duration_s)
    here = ~found.serverless
    times = np.concatenate([found.start_s[here], found.ended_s[here]])
    change = np.concatenate([jobs.gpus[here], -jobs.gpus[here]])
    order = np.lexsort((change, times))
    assert change[order].cumsum().max(initial=0.0) <= rule.max_nodes * terms.node_gpus + 1e-6
    assert found.on_serverless == found.serverless.sum()


def test_of_those_whose_patience_ends_together_the_first_in_the_queue_goes_first() -> None:
    """The one behind then has the room; rows of jobs that have ended must not turn the order round."""
    jobs = Workload.of(np.array([0.0, 0, 0, 30, 30]), np.array([1e3, 10, 20, 50, 50]), np.array([1.0, 1, 1, 8, 1]))
    found = run(jobs, Terms(node_gpus=8), Rule(min_nodes=1, max_nodes=1, wait_s=15.0), trail=True)
    assert found.serverless.tolist() == [False, False, False, True, False]
    assert found.start_s[4] == 45.0


@given(**CASES)
@settings(max_examples=30)
def test_the_same_seed_gives_the_same_bytes(**drawn: Any) -> None:
    jobs, terms, rule = case(**drawn)
    first, second = (json.dumps(document(run(jobs, terms, rule))) for _ in range(2))
    assert first == second


@given(**CASES, parts=st.integers(1, 7))
@settings(max_examples=40)
def test_a_workload_in_parts_is_the_same_workload(parts: int, **drawn: Any) -> None:
    jobs, terms, rule = case(**drawn)
    whole = run(jobs, terms, rule)
    rows = np.array_split(np.arange(len(jobs)), parts)
    assert document(run_parts((jobs.take(some) for some in rows), terms, rule)) == document(whole)


@given(seed=st.integers(0, 2**32 - 1), nodes=st.integers(1, 12), load=st.floats(1.0, 12.0))
@settings(max_examples=60)
def test_more_capacity_never_lengthens_a_wait_of_single_gpus(seed: int, nodes: int, load: float) -> None:
    drawn = workload(seed, 150, load)
    jobs = Workload.of(drawn.submit_s, drawn.duration_s, np.ones(len(drawn)))
    few, more = (
        run(jobs, Terms(node_gpus=1), Rule(min_nodes=count, max_nodes=count, wait_s=math.inf), trail=True)
        for count in (nodes, nodes + 1)
    )
    assert (more.start_s <= few.start_s + 1e-6).all()


@given(**CASES, cut=st.floats(0.05, 0.95))
@settings(max_examples=80)
def test_nothing_that_happens_depends_on_what_is_submitted_later(cut: float, **drawn: Any) -> None:
    jobs, terms, rule = case(**{**drawn, "count": max(drawn["count"], 2)})
    rule = replace(rule, wait_per_second=0.0, wait_per_gpu_second=0.0, wait_from_s=0.0)
    now = float(jobs.submit_s[0] + cut * (jobs.submit_s[-1] - jobs.submit_s[0]))
    whole = run(jobs, terms, rule, trail=True)
    seen = jobs.take(jobs.submit_s < now)
    over, started = whole.ended_s[: len(seen)] <= now, whole.start_s[: len(seen)] <= now
    longer = np.random.default_rng(drawn["seed"]).uniform(1, 3, len(seen))
    other = Workload.of(seen.submit_s, np.where(over, seen.duration_s, seen.duration_s * longer), seen.gpus)
    again = run(other, terms, rule, trail=True)
    assert (again.start_s[over] == whole.start_s[: len(seen)][over]).all()
    assert (again.ended_s[over] == whole.ended_s[: len(seen)][over]).all()
    if drawn["trouble"] in ("none", "targets"):  # otherwise a start may be that of a later attempt
        assert (again.start_s[started] == whole.start_s[: len(seen)][started]).all()
        assert (again.serverless[started] == whole.serverless[: len(seen)][started]).all()


def test_a_file_is_played_in_parts(tmp_path: Path) -> None:
    drawn = workload(8, 120, 20.0)
    jobs = Workload.of(drawn.submit_s.round(1), drawn.duration_s.round(1), drawn.gpus)
    columns = zip(jobs.submit_s, jobs.duration_s, jobs.gpus, strict=True)
    path = tmp_path / "long.csv"
    path.write_text("submit_s,duration_s,gpus\n" + "".join(f"{a:.1f},{b:.1f},{c}\n" for a, b, c in columns))
    rule = Rule(min_nodes=2, max_nodes=4, wait_s=500.0)
    assert document(run_parts(parts(str(path), 17), Terms(), rule)) == document(run(jobs, Terms(), rule))
    with path.open("a") as file:
        file.write("1e9,-5,1\n")
    with pytest.raises(InvalidInput, match=r"long\.csv:122: duration_s"):
        run_parts(parts(str(path), 17), Terms(), rule)
    with pytest.raises(InvalidInput, match="no such file"):
        run_parts(parts(str(tmp_path / "none.csv")), Terms(), rule)


def test_a_gang_waits_for_whole_nodes() -> None:
    jobs = Workload.of([0, 1], [100, 50], [1, 16])
    found = run(jobs, Terms(), Rule(min_nodes=2, max_nodes=2, wait_s=1e6), trail=True)
    assert found.start_s.tolist() == [0, 100]


def test_one_container_serves_jobs_that_follow_each_other() -> None:
    jobs = Workload.of([0, 100, 1000], [50, 50, 50], [1, 1, 1])
    costs = Terms(cold_start_s=10, scaledown_window_s=60, container_billing_s=100)
    found = run(jobs, costs, Rule(max_nodes=0), trail=True)
    assert found.cold_starts == 2
    assert found.start_s.tolist() == [10, 100, 1010]
    assert found.tail_gpu_hours * 3600 == pytest.approx(40 + 60 + 60)
    assert found.serverless_gpu_hours * 3600 == pytest.approx(60 + 50 + 60)
    assert found.parts["rounding"] / costs.serverless * 3600 == pytest.approx(300 - 210 + 200 - 120)


def test_a_node_is_paid_for_in_whole_units_and_its_minimum() -> None:
    jobs = Workload.of([0], [1_000], [8])
    costs = Terms(boot_s=100, node_idle_s=0, node_billing_s=3600, node_minimum_s=60)
    assert run(jobs, costs, Rule(max_nodes=1, wait_s=1e6)).cluster_gpu_hours == pytest.approx(8)
    costs = replace(costs, node_billing_s=1, node_minimum_s=1_800)
    assert run(jobs, costs, Rule(max_nodes=1, wait_s=1e6)).cluster_gpu_hours == pytest.approx(4)


def test_what_spot_takes_away_comes_back_from_its_last_checkpoint() -> None:
    level = Spot(time_s=np.array([0.0, 450.0, 1000.0]), nodes=np.array([1, 0, 1]), period_s=1e5)
    jobs = Workload.of([0], [1_000], [1])
    costs = Terms(boot_s=100, checkpoint_s=100, availability=level, tries=5)
    rule = Rule(max_nodes=0, spot_nodes=1, wait_s=math.inf)
    found = run(jobs, costs, rule, trail=True)
    assert found.interruptions == 1
    assert found.lost_gpu_hours * 3600 == pytest.approx(50)  # it ran from 100 to 450 and kept 300
    assert found.start_s.tolist() == [1_100]
    assert found.end_s == 1_800
    assert found.cost == pytest.approx(8 * (450 + 800) / 3600 * costs.spot)
    assert run(jobs, replace(costs, checkpoint_s=math.inf), rule).end_s == 2_100
    assert run(jobs, replace(costs, tries=1), rule).on_serverless == 1


def test_a_job_interrupted_waits_before_those_submitted_after_it() -> None:
    level = Spot(time_s=np.array([0.0, 500.0, 600.0]), nodes=np.array([1, 0, 1]), period_s=1e9)
    jobs = Workload.of([0, 10, 20], [1_000, 100, 100], [8, 8, 8])
    costs = Terms(boot_s=0, availability=level)
    found = run(jobs, costs, Rule(max_nodes=0, spot_nodes=1, wait_s=math.inf), trail=True)
    assert found.start_s.tolist() == [600, 1_600, 1_700]


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_estimates_that_are_wrong_change_who_waits_and_not_for_whom_others_wait(error: float) -> None:
    jobs = workload(3, 400, 30.0)
    rule = Rule(min_nodes=2, max_nodes=2, wait_per_second=0.5, estimate_error=error)
    found = run(jobs, Terms(), rule, trail=True)
    over = found.start_s - jobs.submit_s > 0.5 * jobs.duration_s + Terms().cold_start_s + 1e-6
    assert over.any() == bool(error)


def test_memory_is_for_what_is_in_flight_and_nothing_is_kept_unasked() -> None:
    found = run(workload(1, 20_000, 30.0), Terms(), Rule(max_nodes=4))
    assert len(found.start_s) == 0
    assert found.most_in_flight < 200


def test_waits_are_told_to_within_seven_per_cent() -> None:
    jobs = workload(5, 3_000, 40.0)
    found = run(jobs, Terms(), Rule(min_nodes=4, max_nodes=4, wait_s=3_000), trail=True)
    waited = np.where(found.serverless, found.ended_s - jobs.duration_s, found.start_s) - jobs.submit_s
    for share in (0.5, 0.9, 0.99):
        assert found.waits.quantile(share) == pytest.approx(np.quantile(waited, share), rel=0.08, abs=0.1)
    assert found.waits.mean_s == pytest.approx(waited.mean())


def test_a_million_at_once_and_years_of_nothing() -> None:
    crowd = Workload.of(np.zeros(1_000_000), np.full(1_000_000, 60.0), np.ones(1_000_000))
    rule = Rule(min_nodes=1, max_nodes=1, wait_s=math.inf)
    assert run(crowd, Terms(node_gpus=1_000), rule).end_s == 60_000
    gap = Workload.of([0, 3e8], [60, 60], [1, 1])
    found = run(gap, Terms(), Rule(max_nodes=1, wait_s=math.inf), trail=True)
    assert found.start_s.tolist() == [300, 3e8 + 300]
    assert found.cluster_gpu_hours < 4


@pytest.mark.parametrize(
    ("terms", "rule", "named"),
    [
        (Terms(), Rule(min_nodes=3, max_nodes=2), "min_nodes 3"),
        (Terms(), Rule(wait_s=-1), "wait_s"),
        (Terms(), Rule(wait_s=math.nan), "wait_s"),
        (Terms(boot_s=math.nan), Rule(), "boot_s"),
        (Terms(checkpoint_s=0), Rule(), "checkpoint_s"),
        (Terms(), Rule(spot_nodes=1), "nothing is known"),
    ],
)
def test_what_can_t_hold_is_refused(terms: Terms, rule: Rule, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        run(workload(1, 5, 1.0), terms, rule)


def test_no_jobs_jobs_that_would_wait_for_ever_and_parts_out_of_order_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no job"):
        run(Workload.of([], [], []), Terms(), Rule())
    never = Rule(targets=(1, 0), wait_s=math.inf, step_s=10.0)
    with pytest.raises(InvalidInput, match="for ever"):
        run(Workload.of([20], [50], [1]), Terms(), never)
    jobs = workload(1, 10, 1.0)
    with pytest.raises(InvalidInput, match="follow each other"):
        run_parts([jobs, jobs], Terms(), Rule())
