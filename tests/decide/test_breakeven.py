from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.breakeven import (
    CHANGES,
    Breakeven,
    Conditions,
    by_job_length,
    dispatch_cost,
    purchase_breakeven,
    reference_container,
    right_sized,
    sensitivity,
)
from broker.model.errors import PriceMissing
from broker.model.offers import Offer, Tier
from broker.model.resources import GIB, Resources

DAY = date(2026, 11, 23)


def node(usd: str, gpu: str = "H100", count: int = 8, *, tier: Tier = Tier.ON_DEMAND, **changed: Any) -> Offer:
    made = Offer(
        id=f"aws/ec2/{gpu}-{count}/us-east-1/{tier.value}".lower(),
        provider="aws",
        product="ec2",
        sku=f"{gpu}-{count}",
        region="us-east-1",
        tier=tier,
        gpu_model=gpu,
        gpu_count=count,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(usd),
        valid_from=date(2026, 7, 20),
        source="a test",
    )
    return replace(made, **changed)


def modal(usd: str, gpu: str = "H100") -> Offer:
    rates = {"usd_per_cpu_hour": Decimal("0.02358"), "usd_per_gib_hour": Decimal("0.007992")}
    return node(usd, gpu, 1, tier=Tier.SERVERLESS, provider="modal", product="functions", **rates)


# Facts of the summer of 2026: what AWS and Modal listed.
ON_DEMAND_H100 = node("55.04")
SPOT_H100 = node("14.246", tier=Tier.SPOT)
MODAL_H100 = modal("3.9492")


def share(cluster: Offer, serverless: Offer, **conditions: Any) -> Decimal:
    return round(purchase_breakeven(cluster, serverless, DAY, Conditions(**conditions)).utilization, 2)


def test_forty_to_fifty_percent_where_it_is_true() -> None:
    """Spot and three years of today's smaller GPUs: the rule of thumb comes out by itself."""
    assert share(node("19.1652", "H200", tier=Tier.SPOT), modal("4.5396", "H200")) == Decimal("0.44")
    assert share(node("8.1591", "A100-40GB", tier=Tier.COMMIT_3Y), modal("2.0988", "A100-40GB")) == Decimal("0.40")
    assert share(node("0.445304", "L4", 1, tier=Tier.COMMIT_1Y), modal("0.7992", "L4")) == Decimal("0.44")


def test_never_where_it_is_not() -> None:
    """Hyperscalers' H100 on demand costs more, always busy, than serverless."""
    made = purchase_breakeven(ON_DEMAND_H100, MODAL_H100, DAY)
    assert round(made.utilization, 2) == Decimal("1.42") and made.never
    assert purchase_breakeven(node("98.32"), MODAL_H100, DAY).never
    assert not purchase_breakeven(node("31.92", provider="lambda"), MODAL_H100, DAY).never


def test_the_gpu_alone_against_the_container() -> None:
    bare = Resources(gpus=1, gpu_model="H100")
    alone = purchase_breakeven(SPOT_H100, MODAL_H100, DAY, container=bare)
    assert round(alone.utilization, 2) == Decimal("0.45")
    assert share(SPOT_H100, MODAL_H100) == Decimal("0.37")


def test_what_moves_it() -> None:
    """The same changes, worked out apart from this code."""
    moved = {each.change: each for each in sensitivity(SPOT_H100, MODAL_H100, DAY, Conditions())}
    by_hand = ["0.44", "0.38", "0.45", "0.37", "0.46", "0.39", "0.25", "0.32", "0.17", "0.33", "0.51"]
    assert [round(each.utilization, 2) for each in moved.values()] == [Decimal(value) for value in by_hand]
    assert list(moved) == [change for change, _ in CHANGES]
    assert round(moved["packing 0.8"].relative, 4) == Decimal("0.25")


DOLLARS = st.decimals("0.05", 100, places=4)
SHARES = st.decimals("0.05", 1, places=3)
CONDITIONS = st.builds(
    Conditions,
    ops_share=st.decimals(0, 1, places=3),
    head_usd_hour=st.decimals(0, 5, places=3),
    storage_usd_hour=st.decimals(0, 5, places=3),
    egress_usd_hour=st.decimals(0, 5, places=3),
    gpus_sharing=st.decimals(1, 64, places=0),
    packing=SHARES,
    interruptions_per_hour=st.decimals(0, "0.5", places=3),
    lost_s=st.decimals(0, 3_600, places=0),
    job_s=st.decimals(1, 100_000, places=0),
    cold_start_s=st.decimals(0, 600, places=0),
    idle_tail_s=st.decimals(0, 600, places=0),
    region_multiplier=st.decimals(1, 3, places=2),
)


def made(held: Decimal, bought: Decimal, conditions: Conditions) -> Breakeven:
    return purchase_breakeven(node(str(held), count=1), modal(str(bought)), DAY, conditions)


@given(DOLLARS, DOLLARS, CONDITIONS)
def test_at_the_breakeven_both_ways_cost_the_same(held: Decimal, bought: Decimal, conditions: Conditions) -> None:
    """Added up as a year of bills would be: hours held against container seconds for the same work."""
    found = made(held, bought, conditions)
    year_h = Decimal(8_760)
    useful_h = year_h * found.utilization * conditions.packing
    jobs = useful_h * 3_600 / conditions.job_s
    container_s = jobs * (conditions.cold_start_s + conditions.job_s + conditions.idle_tail_s)
    per_second = (bought + 16 * Decimal("0.02358") + 64 * Decimal("0.007992")) / 3_600
    serverless_usd = container_s * per_second * conditions.region_multiplier
    overheads = conditions.head_usd_hour + conditions.storage_usd_hour + conditions.egress_usd_hour
    node_usd = held * (conditions.ops_share + 1 / (1 - conditions.lost_share))
    cluster_usd = year_h * (node_usd + overheads / conditions.gpus_sharing)
    assert float(serverless_usd) == pytest.approx(float(cluster_usd), rel=1e-12)
    assert float(found.serverless_usd_at(found.utilization)) == pytest.approx(float(found.held_usd), rel=1e-12)


RAISES = ("ops_share", "head_usd_hour", "storage_usd_hour", "egress_usd_hour", "interruptions_per_hour", "lost_s")
LOWERS = ("packing", "gpus_sharing", "cold_start_s", "idle_tail_s", "region_multiplier")


@pytest.mark.parametrize("field", [*RAISES, *LOWERS, "job_s"])
@given(held=DOLLARS, bought=DOLLARS, conditions=CONDITIONS)
def test_it_moves_one_way_with_each_condition(
    field: str, held: Decimal, bought: Decimal, conditions: Conditions
) -> None:
    before = getattr(conditions, field)
    after = before + (1 - before) / 2 if field == "packing" else before * Decimal("1.1")
    moved = made(held, bought, replace(conditions, **{field: after})).utilization
    base = made(held, bought, conditions).utilization
    slack = Decimal("1e-20") * base
    assert moved <= base + slack if field in LOWERS else moved >= base - slack


def test_every_condition_is_one_of_those_tested() -> None:
    assert {field.name for field in fields(Conditions)} == {*RAISES, *LOWERS, "job_s"}


@given(DOLLARS, DOLLARS, CONDITIONS)
def test_it_moves_with_both_prices(held: Decimal, bought: Decimal, conditions: Conditions) -> None:
    base = made(held, bought, conditions).utilization
    assert made(held * 2, bought, conditions).utilization > base
    assert made(held, bought * 2, conditions).utilization < base


@given(DOLLARS, DOLLARS, CONDITIONS)
def test_components_add_up(held: Decimal, bought: Decimal, conditions: Conditions) -> None:
    found = made(held, bought, conditions)
    assert found.held_usd == sum(part.usd_per_hour for part in found.held)
    assert found.bought_usd == sum(part.usd_per_hour for part in found.bought)
    assert all(part.usd_per_hour >= 0 for part in (*found.held, *found.bought))
    assert found.never == (found.utilization > 1)


def test_idle_tail_and_cold_start_weigh_most_on_short_jobs() -> None:
    conditions = Conditions(cold_start_s=Decimal(10), idle_tail_s=Decimal(60))
    lengths = [Decimal(seconds) for seconds in (10, 60, 600, 3_600, 86_400)]
    found = by_job_length(SPOT_H100, MODAL_H100, DAY, conditions, lengths)
    assert [round(each.utilization, 2) for each in found] == [
        Decimal(share) for share in ("0.05", "0.17", "0.33", "0.36", "0.37")
    ]


@given(gpus=st.integers(1, 16), free=st.integers(0, 16), run_s=st.integers(1, 100_000))
def test_at_dispatch_what_is_paid_already_costs_nothing(gpus: int, free: int, run_s: int) -> None:
    dear = purchase_breakeven(ON_DEMAND_H100, MODAL_H100, DAY)
    found = dispatch_cost(dear, gpus=Decimal(gpus), free_gpus=Decimal(free), run_s=Decimal(run_s))
    assert found.serverless_usd > 0
    if free >= gpus:
        assert found.cluster_usd == 0, "even where at purchase it never pays"
    else:
        beyond = Decimal("6.88") * (gpus - free) * run_s / 3_600
        assert float(found.cluster_usd) == pytest.approx(float(beyond), rel=1e-12)


@pytest.mark.parametrize(
    ("gpu", "cpus", "gib", "sold_as"),
    [
        ("T4", 4, 16, "T4"),
        ("A10G", 4, 16, "A10"),
        ("L40S", 8, 32, "L40S"),
        ("A100-40GB", 8, 32, "A100-40GB"),
        ("A100-80GB", 16, 64, "A100-80GB"),
        ("B200", 16, 64, "B200"),
        ("OF-TOMORROW", 16, 64, "OF-TOMORROW"),
    ],
)
def test_the_reference_container_grows_with_the_gpu(gpu: str, cpus: int, gib: int, sold_as: str) -> None:
    expected = Resources(cpus=cpus, memory_bytes=gib * GIB, gpus=1, gpu_model=sold_as)
    assert reference_container(gpu) == expected


def test_hosts_that_are_mostly_cpus_are_left_out_in_every_tier() -> None:
    lean, large = node("1", "L4", 1, sku="lean"), node("1.6", "L4", 1, sku="large")
    lean_spot, large_spot = (replace(each, tier=Tier.SPOT, usd_per_hour=Decimal("0.5")) for each in (lean, large))
    dear_spot = replace(lean_spot, usd_per_hour=Decimal("0.9"), region="eu-west-1")
    assert right_sized([lean, large, lean_spot, large_spot, dear_spot]) == (lean, lean_spot, dear_spot)


def test_what_has_no_price_is_said() -> None:
    with pytest.raises(PriceMissing, match="no GPU"):
        purchase_breakeven(node("1", "", 0), MODAL_H100, DAY)
    with pytest.raises(PriceMissing, match="no price for a container with H100"):
        purchase_breakeven(SPOT_H100, modal("1", "L4"), DAY)


@pytest.mark.parametrize("wrong", [{"packing": Decimal(0)}, {"job_s": Decimal(0)}, {"packing": Decimal("1.1")}])
def test_impossible_conditions(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Conditions(**wrong)
    with pytest.raises(ValueError, match="lose all the work"):
        Conditions(interruptions_per_hour=Decimal(2), lost_s=Decimal(1_800))
