"""What a plan of the broker's own is asked: all of its work, and each way to buy at a price that somebody asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.buying import STEP_S, busy_gpus, document, gpu_hours, ways
from broker.model.money import NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.model.runs import Run
from simulator.planning.offers import ways_of_document
from tests.run.past import offer

DAY = date(2026, 1, 1)
NOW_NS = 20_000 * 86_400 * NS_PER_S
HOUR_NS = round(STEP_S * NS_PER_S)
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


def run(begin_h: float, end_h: float | None, gpus: float, model: str = "H100") -> Run:
    """One that began and ended so many hours before now."""
    return Run(
        user="ann",
        pool="ray",
        resources=Resources(cpus=1, gpus=gpus, gpu_model=model),
        started_ns=NOW_NS - round(begin_h * HOUR_NS),
        ended_ns=None if end_h is None else NOW_NS - round(end_h * HOUR_NS),
    )


TIMES = st.tuples(st.floats(0, 200), st.floats(0, 200)).map(sorted)
RUNS = st.lists(
    st.builds(
        lambda time, gpus, open_: run(time[1], None if open_ else time[0], gpus),
        TIMES,
        st.sampled_from([0.5, 1, 8]),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@given(RUNS, st.floats(1, 250))
def test_all_work_since_a_time_is_in_the_hours_and_nothing_else(runs: list[Run], look_back_h: float) -> None:
    since_ns = NOW_NS - round(look_back_h * HOUR_NS)
    seen = [each for each in runs if each.ended_ns is None or each.ended_ns > since_ns]
    busy = busy_gpus(seen, "H100", since_ns, NOW_NS)
    begin_ns = NOW_NS - len(busy) * HOUR_NS
    assert NOW_NS - since_ns + HOUR_NS > len(busy) * HOUR_NS
    assert sum(busy) == pytest.approx(gpu_hours(seen, begin_ns, NOW_NS).get("H100", 0.0), abs=1e-3)
    assert min(busy) >= 0
    assert not busy_gpus(seen, "A100", since_ns, NOW_NS).any()


def test_the_model_that_did_most_comes_first() -> None:
    runs = [run(2, 1, 1, "A100"), run(5, 1, 1), run(5, None, 0), run(9, 8, 1, "A100")]
    assert gpu_hours(runs, NOW_NS - 6 * HOUR_NS, NOW_NS) == pytest.approx({"H100": 4.0, "A100": 1.0})


def test_its_own_pools_come_at_their_prices_with_commitments_to_such_nodes() -> None:
    found = {each.name: each for each in ways("H100", (CLUSTER, CONTAINERS), BOOK, DAY)}
    assert list(found) == ["p5-1y", "p5-3y", "ray", "modal"]
    assert found["modal"].usd_per_hour == pytest.approx(
        4 + 4 * 0.25 + 16 * 0.125
    )  # a quarter of a node's CPUs and memory
    asked = {each.name: each for each in ways_of_document(document(tuple(found.values()), "H100"), "pools").offers}
    assert asked["ray"].usd_per_gpu_hour == 2.5
    assert (asked["ray"].max_gpus, asked["ray"].boot_hours, asked["ray"].node) == (12, 0.1, 4)
    assert (asked["p5-3y"].term_hours, asked["p5-3y"].usd_per_gpu_hour) == (26_280, 1.25)
    assert asked["modal"].max_gpus is None


def test_what_it_has_no_pool_for_is_bought_where_it_is_cheapest() -> None:
    found = ways("H100", (CONTAINERS,), BOOK, DAY)
    assert [each.name for each in found] == ["p5-1y", "small-3y", "market", "modal"]
    assert [each.name for each in ways("H100", (), BOOK, DAY)][-1] == "functions-elsewhere"
    unpriced = replace(CLUSTER, offers=())
    assert [each.kind for each in ways("H100", (unpriced,), BOOK, DAY)][-2:] == ["cluster", "serverless"]
    assert ways("B200", (CLUSTER, CONTAINERS), BOOK, DAY) == ()
