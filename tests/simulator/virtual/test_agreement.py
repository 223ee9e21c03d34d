"""Where the live broker's decisions and a rule of the fast simulator are the same rule, both come to the same."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.workload import Workload
from broker.model.usage import ChargeKind
from simulator.jobs import Rule, Terms, run
from simulator.virtual import play
from simulator.virtual.from_trace import sites, works
from simulator.virtual.result import result


def workload(seed: int, count: int, load: float, sizes: tuple[int, ...]) -> Workload:
    rng = np.random.default_rng(seed)
    duration, gpus = rng.lognormal(5, 1.2, count), rng.choice(sizes, count)
    gaps = rng.exponential(duration.mean() * gpus.mean() / load, count)
    return Workload.of(gaps.cumsum().round(3), duration.round(3), gpus)


def terms(seed: int) -> Terms:
    rng = np.random.default_rng(seed)
    return Terms(
        node_gpus=4,
        cold_start_s=float(rng.integers(0, 30)),
        scaledown_window_s=float(rng.integers(1, 120)),
        node_minimum_s=float(rng.choice([0, 60])),
        node_billing_s=float(rng.choice([1, 60])),
        container_billing_s=float(rng.choice([1, 60])),
        container_minimum_s=float(rng.choice([0, 90])),
    )


@given(seed=st.integers(0, 10_000), count=st.integers(1, 50), load=st.floats(1, 30), nodes=st.integers(1, 3))
@settings(max_examples=25)
def test_nobody_waits(seed: int, count: int, load: float, nodes: int) -> None:
    jobs, costs = workload(seed, count, load, (1, 1, 2, 4)), terms(seed)
    fast = run(jobs, costs, Rule(min_nodes=nodes, max_nodes=nodes), trail=True)
    slow = result(jobs, costs, play(list(works(jobs, costs)), sites(costs, nodes, nodes)))
    assert slow.start_s == pytest.approx(fast.start_s, abs=1e-6)
    assert (slow.serverless == fast.serverless).all()
    assert slow.cost == pytest.approx(fast.cost, rel=1e-8, abs=1e-7)
    for part, amount in fast.parts.items():
        assert slow.parts[part] == pytest.approx(amount, rel=1e-7, abs=1e-7)
    assert slow.waits.quantile(0.9) == pytest.approx(fast.waits.quantile(0.9), rel=0.08, abs=1e-5)
    assert slow.cold_starts == fast.cold_starts


@given(seed=st.integers(0, 10_000), count=st.integers(1, 50), load=st.floats(1, 12), nodes=st.integers(1, 2))
@settings(max_examples=20)
def test_jobs_of_one_gpu_wait_for_a_cluster_without_an_alternative(
    seed: int, count: int, load: float, nodes: int
) -> None:
    jobs, costs = workload(seed, count, load, (1,)), terms(seed)
    fast = run(jobs, costs, Rule(min_nodes=nodes, max_nodes=nodes, wait_s=math.inf), trail=True)
    cluster, _ = sites(costs, nodes, nodes)
    slow = result(jobs, costs, play(list(works(jobs, costs, wait_s=1e9)), [cluster]))
    assert np.sort(slow.start_s) == pytest.approx(np.sort(fast.start_s), abs=1e-6)
    assert slow.cost == pytest.approx(fast.cost, rel=1e-8, abs=1e-7)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 40), load=st.floats(1, 30))
@settings(max_examples=15)
def test_what_is_charged_is_what_units_cost(seed: int, count: int, load: float) -> None:
    """Of a cluster: its nodes, for all the time; of containers: cold start, run, tail and rounding."""
    jobs, costs = workload(seed, count, load, (1, 2)), replace(terms(seed), node_billing_s=1.0, node_minimum_s=0.0)
    outcome = play(list(works(jobs, costs)), sites(costs, 2, 2))
    hours = (outcome.ended_ns - outcome.began_ns) / 3.6e12
    cluster = sum(float(amount.usd) for (pool, kind), amount in outcome.spent.items() if pool == "cluster")
    rounding = float(outcome.spent["cluster", ChargeKind.ROUNDING].usd)
    assert cluster - rounding == pytest.approx(2 * 4 * hours * costs.cluster, rel=1e-8, abs=1e-7)
    ran = sum(jobs.duration_s[at] * jobs.gpus[at] for at, lived in enumerate(outcome.jobs) if lived.pool != "cluster")
    paid = outcome.spent.get(("serverless", ChargeKind.JOB))
    assert (float(paid.usd) if paid else 0.0) == pytest.approx(ran / 3600 * costs.serverless, rel=1e-8, abs=1e-7)
