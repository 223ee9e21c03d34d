"""The live broker in virtual time: interruptions, steering, causality, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from broker.decide.workload import Workload
from broker.model.errors import InvalidInput
from broker.model.jobs import JobState
from broker.model.placement import Placement, Verdict
from simulator.jobs import Rule, Spot, Terms
from simulator.jobs.terms import Live
from simulator.virtual import Manner, Outcome, Timing, play
from simulator.virtual.from_trace import BEGAN_NS, sites, works
from simulator.virtual.result import played
from tests.simulator.virtual.test_agreement import workload

TERMS = Terms(node_gpus=4, boot_s=100)


def starts(outcome: Outcome) -> list[float]:
    return [((lived.started_ns or 0) - BEGAN_NS) / 1e9 for lived in outcome.jobs]


def test_what_is_taken_away_is_tried_again_by_the_brokers_rules() -> None:
    jobs = Workload.of([0, 1], [1_000, 2_000], [4, 4])
    level = Spot(time_s=np.array([0.0, 450.0, 1_000.0]), nodes=np.array([2, 0, 2]), period_s=1e6)
    cluster, _ = sites(TERMS, 2, 2)
    taken = [replace(cluster, available=level)]
    outcome = play(list(works(jobs, TERMS, wait_s=1e6)), taken, Manner(checkpoint_s=100.0))
    assert outcome.interruptions == 2
    assert outcome.lost_s == pytest.approx(4 * (50 + 49))
    assert starts(outcome) == [1_100, 1_100]
    assert [(lived.job.ended_ns or 0) / 1e9 - BEGAN_NS / 1e9 for lived in outcome.jobs] == [1_700, 2_700]
    often = Spot(time_s=np.arange(8) * 300.0, nodes=np.array([2, 0] * 4), period_s=2_400.0)
    given_up = play(list(works(jobs, TERMS, wait_s=1e6)), [replace(cluster, available=often)])
    assert {lived.job.state for lived in given_up.jobs} == {JobState.FAILED}
    assert "attempt 3 of 3" in given_up.jobs[0].job.reason


def test_a_pool_takes_what_it_takes() -> None:
    jobs = Workload.of([0, 0], [10, 10], [4, 4])
    cluster, serverless = sites(TERMS, 1, 1)
    slow = Timing(launch_s=0.5, finish_s=0.25)
    pools = [replace(cluster, timing=slow), replace(serverless, timing=slow)]
    outcome = play(list(works(jobs, TERMS)), pools, Manner(decide_s=0.125))
    assert starts(outcome) == [0.625, 0.625 + TERMS.cold_start_s]
    assert outcome.ended_ns - BEGAN_NS == round((0.625 + TERMS.cold_start_s + 10 + 0.25) * 1e9)


def test_nodes_that_a_gang_takes_over_take_longer_for_a_while() -> None:
    jobs = Workload.of([0, 5, 20, 40], [10, 10, 10, 10], [4, 8, 4, 8])
    cluster, _ = sites(TERMS, 2, 2)
    gathering = [replace(cluster, timing=Timing(gather_s=0.5))]
    outcome = play(list(works(jobs, TERMS, wait_s=1e6)), gathering)
    assert starts(outcome) == [0, 10.5, 20.5, 40]


def test_a_steered_cluster_grows_with_its_work_and_shrinks_after_it() -> None:
    jobs = Workload.of(np.arange(400) * 120.0, np.full(400, 1_100.0), np.ones(400))
    terms = replace(TERMS, node_gpus=2)
    outcome = play(list(works(jobs, terms)), sites(terms, 0, 8), Manner(steer_every_s=900.0))
    assert max(nodes for _, _, nodes in outcome.steered) >= 4
    assert sum(lived.pool == "cluster" for lived in outcome.jobs) > 200


def test_an_autoscaling_cluster_starts_nodes_for_work_and_ends_them() -> None:
    jobs = Workload.of([0, 5_000], [600, 600], [4, 4])
    outcome = play(list(works(jobs, TERMS, wait_s=1e6)), [sites(TERMS, 0, 2, autoscales=True)[0]])
    assert starts(outcome) == [100, 5_100]
    paid_s = sum(float(amount.usd) for amount in outcome.spent.values()) / TERMS.cluster / 4 * 3_600
    assert paid_s == pytest.approx(700 + 300 + 700, rel=1e-6)


def test_nothing_decided_depends_on_jobs_submitted_later() -> None:
    jobs = workload(5, 80, 14.0, (1, 2, 4, 8))
    now_ns = BEGAN_NS + round(float(jobs.submit_s[50]) * 1e9)
    longer = np.where(jobs.submit_s + jobs.duration_s > jobs.submit_s[50], 1.7, 1.0)
    rng = np.random.default_rng(1)
    said = jobs.duration_s * rng.uniform(0.5, 2.0, len(jobs))
    cut = Workload.of(jobs.submit_s[:50], (jobs.duration_s * longer)[:50], jobs.gpus[:50])

    def decided(of: Workload) -> list[Placement]:
        found: list[Placement] = []
        wanted = [
            replace(work, job=replace(work.job, spec=replace(work.job.spec, est_runtime_s=float(said[at]))))
            for at, work in enumerate(works(of, TERMS, wait_s=300.0))
        ]
        play(wanted, sites(TERMS, 1, 6), Manner(steer_every_s=1_800.0), found.append)
        return [placement for placement in found if placement.at_ns < now_ns]

    whole = decided(jobs)
    assert whole == decided(cut)
    assert any(placement.verdict is Verdict.WAIT for placement in whole)


@pytest.mark.parametrize("live", [Live(max_nodes=2, steer_every_s=None), Live(max_nodes=4, wait_s=600.0)])
def test_the_same_jobs_give_the_same_result(live: Live) -> None:
    jobs = workload(9, 60, 10.0, (1, 2, 8))
    first, second = (played(jobs, TERMS, live) for _ in range(2))
    assert repr(first) == repr(second)
    assert first.jobs == 60 and first.cost == pytest.approx(sum(first.parts.values()))


def test_a_rule_of_either_kind_is_played() -> None:
    jobs = workload(2, 20, 5.0, (1,))
    for rule in (Rule(max_nodes=2), Live(max_nodes=2)):
        assert played(jobs, TERMS, rule).jobs == 20


def test_a_job_that_says_nothing_waits_for_a_node_that_boots_as_long_as_that_is_worth() -> None:
    """The cluster is steered to a node for the first; the second finds it booting, and saves by waiting for it."""
    jobs = Workload.of([0.0, 650.0], [108_000.0, 36_000.0], [4.0, 4.0])
    hurried = played(jobs, TERMS, Live(max_nodes=2, wait_s=0.0))
    assert hurried.serverless.tolist() == [True, True]
    patient = played(jobs, TERMS, Live(max_nodes=2))
    assert patient.serverless.tolist() == [True, False]
    assert patient.start_s[1] == 600.0 + TERMS.boot_s


def test_what_waits_for_ever_and_nothing_at_all_are_refused() -> None:
    jobs = Workload.of([0], [10], [1])
    never: dict[str, Any] = {"nodes": np.array([0]), "time_s": np.array([0.0]), "period_s": 1e12}
    cluster = replace(sites(TERMS, 1, 1)[0], available=Spot(**never))
    with pytest.raises(InvalidInput, match="wait for ever"):
        play(list(works(jobs, TERMS, wait_s=1e9)), [cluster])
    with pytest.raises(InvalidInput, match="no job"):
        play([], [cluster])
