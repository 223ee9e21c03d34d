"""How many nodes to hold now: by all work that a node could hold, at the prices of the day, with the reason."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from broker.decide.expand import expand
from broker.decide.steering import PATIENCE, Wish, market, share_of_node, steer, waiting, wish, workload
from broker.model.jobs import JobSpec
from broker.model.money import NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.model.runs import Run

NODE = Resources(cpus=8, memory_bytes=32 * GIB, gpus=2, gpu_model="H100")
DAY = date(2026, 11, 1)
NOW = 1_795_000_000 * NS_PER_S
HOUR = 3_600 * NS_PER_S


def offer(name: str, tier: Tier, usd: str, **more: object) -> Offer:
    return Offer(
        id=name,
        provider="test",
        product=name,
        sku=name,
        region="",
        tier=tier,
        gpu_model="H100",
        gpu_count=2 if tier is not Tier.SERVERLESS else 1,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(usd),
        valid_from=date(2020, 1, 1),
        source="test",
        **more,  # type: ignore[arg-type]
    )


CLUSTER = Pool(
    name="cluster",
    kind=PoolKind.CLUSTER,
    executor="fake",
    unit=NODE,
    max_units=4,
    gpu_models=("H100",),
    offers=(offer("node", Tier.ON_DEMAND, "4"),),
)
BURST = replace(
    CLUSTER,
    name="burst",
    kind=PoolKind.SERVERLESS,
    offers=(offer("gpu", Tier.SERVERLESS, "5", usd_per_cpu_hour=Decimal(0), usd_per_gib_hour=Decimal(0)),),
)


def run(hours_ago: float, hours: float | None, gpus: float = 2, pool: str = "burst") -> Run:
    started = NOW - round(hours_ago * HOUR)
    return Run(
        user="ann",
        pool=pool,
        resources=Resources(cpus=1, memory_bytes=GIB, gpus=gpus, gpu_model="H100"),
        started_ns=started,
        ended_ns=None if hours is None else started + round(hours * HOUR),
    )


@pytest.mark.parametrize(
    ("held", "share"),
    [
        (Resources(cpus=4), 0.5),
        (Resources(cpus=1, gpus=1, gpu_model="H100"), 0.5),
        (Resources(cpus=1, memory_bytes=32 * GIB), 1.0),
        (Resources(cpus=16), 2.0),
        (Resources(cpus=1, gpus=1, gpu_model="L4"), float("inf")),
    ],
)
def test_an_attempt_is_the_largest_share_that_it_takes(held: Resources, share: float) -> None:
    assert share_of_node(held, NODE) == share


def test_the_market_is_what_a_node_and_its_work_elsewhere_cost() -> None:
    terms = market(CLUSTER, [BURST], DAY)
    assert terms is not None
    assert (terms.cluster, terms.serverless) == (4.0, 10.0)
    small = replace(BURST, unit=replace(NODE, gpus=1))
    halves = market(CLUSTER, [small], DAY)
    assert halves is not None and halves.serverless == 10.0
    assert market(replace(CLUSTER, offers=()), [BURST], DAY) is None


def test_work_that_has_run_elsewhere_for_long_is_worth_a_node() -> None:
    runs = [run(30.0, None), run(20.0, None), run(25.0, None, gpus=1)]
    found = wish(CLUSTER, [BURST], runs, NOW, DAY)
    assert found is not None
    assert found.nodes == 3
    assert "0.0 nodes' work runs here, 2.5 elsewhere, and 0.0 waits" in found.reason
    assert "above 40% busy" in found.reason
    assert "by what has paid until now 3 should be held" in found.reason


def test_what_waits_counts_as_work_where_it_may_run() -> None:
    needs = ResourceRequest(gpu_choices=(Gpu(model="H100", count=2),), cpus=1, memory_bytes=GIB)
    spec = JobSpec(name="job", run="true", resources=needs)
    elsewhere = replace(spec, pools_allowed=("burst",))
    jobs = [expand(each, f"j{n}", "ann", NOW - HOUR)[0] for n, each in enumerate((spec, spec, elsewhere))]
    queued = waiting(jobs, CLUSTER)
    assert len(queued) == 2
    found = wish(CLUSTER, [BURST], queued, NOW, DAY)
    assert found is not None and found.nodes == 2
    assert "and 2.0 waits" in found.reason
    assert "no work was seen more than a day ago, so by what runs now 2 should be held" in found.reason


def test_no_more_nodes_are_wished_for_than_there_may_be() -> None:
    found = wish(CLUSTER, [BURST], [run(30.0, None) for _ in range(9)], NOW, DAY)
    assert found is not None
    assert found.nodes == 4
    assert "4 is the most" in found.reason


def test_nothing_runs_and_nothing_is_wished_for() -> None:
    found = wish(CLUSTER, [BURST], [run(9.0, 1.0)], NOW, DAY)
    assert found is not None and found.nodes == 0


def test_what_no_node_could_hold_counts_for_nothing() -> None:
    found = wish(CLUSTER, [BURST], [run(30.0, None, gpus=8)], NOW, DAY)
    assert found is not None and found.nodes == 0


def test_without_serverless_all_that_runs_is_held_for() -> None:
    found = wish(CLUSTER, [], [run(30.0, None, pool="cluster")], NOW, DAY)
    assert found is not None and found.nodes == 1
    assert "nothing else can take its work" in found.reason


def test_ages_and_ends_are_those_of_the_runs() -> None:
    seen = workload([run(2.0, 1.0), run(1.0, None)], NODE, NOW)
    assert list(seen.duration_s) == [3_600.0, 3_600.0]
    assert list(seen.ended) == [True, False]


def test_nodes_are_added_at_once_and_ended_with_patience() -> None:
    more = steer(Wish(pool="cluster", nodes=3, reason="r"), up=1, fewer=0)
    assert (more.nodes, more.fewer) == (3, 0)
    fewer = 0
    for number in range(PATIENCE):
        step = steer(Wish(pool="cluster", nodes=1, reason="r"), up=3, fewer=fewer)
        assert step.nodes == (1 if number == PATIENCE - 1 else 3)
        fewer = step.fewer
    again = steer(Wish(pool="cluster", nodes=3, reason="r"), up=3, fewer=1)
    assert again.fewer == 0
