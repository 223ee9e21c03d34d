"""What a plan of the broker's own is asked: all of its work, and each way to buy at a price that somebody asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from broker.decide.buying import document, told_apart, ways
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from simulator.planning.offers import ways_of_document
from tests.run.past import offer

DAY = date(2026, 1, 1)
NODE = Resources(cpus=16, memory_bytes=64 * GIB, gpus=4, gpu_model="H100")


def priced(name: str, tier: Tier, usd: str, gpus: int = 4, **more: object) -> Offer:
    return replace(offer(name, tier, usd), gpu_model="H100", gpu_count=gpus, **more)


CLUSTER = Pool(
    name="ray",
    kind=PoolKind.CLUSTER,
    executor="fake",
    unit=NODE,
    max_units=3,
    cold_start_s=360.0,
    offers=(priced("p5", Tier.ON_DEMAND, "10"),),
)
CONTAINERS = Pool(
    name="modal",
    kind=PoolKind.SERVERLESS,
    executor="fake",
    unit=replace(NODE, gpus=8, cpus=64),
    max_units=9,
    gpu_models=("H100", "A100"),
    offers=(
        priced(
            "functions", Tier.SERVERLESS, "4", 1, usd_per_cpu_hour=Decimal("0.25"), usd_per_gib_hour=Decimal("0.125")
        ),
    ),
)
BOOK = (
    priced("p5-1y", Tier.COMMIT_1Y, "6"),
    priced("p5-3y", Tier.COMMIT_3Y, "5"),
    priced("small-3y", Tier.COMMIT_3Y, "0.5", 1),
    priced("market", Tier.ON_DEMAND, "9", 2),
    priced("functions-elsewhere", Tier.SERVERLESS, "3.5", 1),
)


def test_its_own_pools_come_at_their_prices_with_commitments_to_such_nodes() -> None:
    found = {each.name: each for each in ways("H100", (CLUSTER, CONTAINERS), BOOK, DAY)}
    assert list(found) == ["acme H100 1-year", "acme H100 3-year", "ray", "modal"]
    assert found["modal"].usd_per_hour == pytest.approx(
        4 + 4 * 0.25 + 16 * 0.125
    )  # a quarter of a node's CPUs and memory
    asked = {each.name: each for each in ways_of_document(document(tuple(found.values()), ()), "pools").offers}
    firm = "acme H100 3-year"
    assert asked["ray"].usd_per_gpu_hour == 2.5
    assert (asked["ray"].max_gpus, asked["ray"].boot_hours, asked["ray"].node) == (12, 0.1, 4)
    assert (asked[firm].term_hours, asked[firm].usd_per_gpu_hour) == (26_280, 1.25)
    assert asked["modal"].max_gpus is None


def test_what_it_has_no_pool_for_is_bought_where_it_is_cheapest() -> None:
    found = ways("H100", (CONTAINERS,), BOOK, DAY)
    assert [each.offers[0].id for each in found] == ["p5-1y", "small-3y", "market", "functions"]
    assert [each.name for each in found][2:] == ["acme H100 on demand", "modal"]
    (*_, last) = ways("H100", (), BOOK, DAY)
    assert (last.name, last.offers[0].id) == ("acme H100", "functions-elsewhere")
    unpriced = replace(CLUSTER, offers=())
    assert [each.kind for each in ways("H100", (unpriced,), BOOK, DAY)][-2:] == ["cluster", "serverless"]
    assert ways("B200", (CLUSTER, CONTAINERS), BOOK, DAY) == ()


def test_what_sells_several_models_is_named_with_each() -> None:
    of_a100 = replace(CONTAINERS.offers[0], id="functions-a100", gpu_model="A100")
    pools = (CLUSTER, replace(CONTAINERS, offers=(*CONTAINERS.offers, of_a100)))
    found = told_apart(way for model in ("H100", "A100") for way in ways(model, pools, BOOK, DAY))
    assert [(way.name, way.gpu) for way in found if way.kind != "committed"] == [
        ("ray", "H100"),
        ("modal H100", "H100"),
        ("modal A100", "A100"),
    ]


def test_offers_that_people_know_by_one_name_are_told_apart_by_product_and_region() -> None:
    like = replace(CLUSTER, unit=replace(NODE, gpus=1), offers=())
    there = [
        priced("small", Tier.ON_DEMAND, "3", 1, region="eu"),
        priced("big", Tier.ON_DEMAND, "3", 1, region="eu"),
        replace(priced("big", Tier.ON_DEMAND, "3", 1, region="us"), id="big-us"),
    ]
    found = told_apart(way for each in there for way in ways("H100", (like,), [each], DAY))
    assert [way.name for way in found] == [
        "acme H100 on demand small",
        "acme H100 on demand big eu",
        "acme H100 on demand big us",
    ]
