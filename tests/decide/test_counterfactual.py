"""What else it could have cost: by hand where that can be done, and never less than hindsight."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.decide.counterfactual import Counterfactual, counterfactual, takes_work_of
from broker.decide.proposing import commitments, propose
from broker.model.money import Money
from broker.model.runs import Run
from tests.run.past import BURST, COMMIT, DAY_NS, HALF, HOUR_NS, NODE, RAY, workdays

BEGIN, DAY = 20_500 * DAY_NS, date(2026, 2, 16)


def run(begin_h: float, hours: float, pool: str = "ray") -> Run:
    began = BEGIN + round(begin_h * HOUR_NS)
    return Run(user="a", pool=pool, resources=NODE, started_ns=began, ended_ns=began + round(hours * HOUR_NS))


def found(runs: list[Run], hours: float = 10.0, paid: int = 30, others: tuple = (BURST,)) -> Counterfactual:
    until = BEGIN + round(hours * HOUR_NS)
    made = counterfactual(RAY, others, runs, Money.of_usd(paid), 0, BEGIN, until, DAY, 36.0)
    assert made is not None
    return made


def usd(of: Counterfactual, name: str) -> float:
    return float(next(each for each in of.alternatives if each.name == name).cost.usd)


def test_two_jobs_by_hand() -> None:
    """One node busy for ten hours, a second for one: a dollar held, two on serverless."""
    seen = found([run(0, 10), run(4, 1, "burst")])
    assert seen.node_hours == pytest.approx(11.0) and seen.peak == pytest.approx(2.0)
    assert usd(seen, "peak") == pytest.approx(20.0)
    assert usd(seen, "best-static") == pytest.approx(12.0)
    assert usd(seen, "hindsight") == pytest.approx(11.0)
    tail_and_start_h = 2 * (36 + 10) / 3_600
    assert usd(seen, "all-serverless") == pytest.approx(2 * (11 + tail_and_start_h))
    assert seen.regret == pytest.approx(30 / 11)


def test_where_nothing_else_takes_the_work_only_clusters_are_weighed() -> None:
    seen = found([run(0, 5)], others=())
    assert {each.name for each in seen.alternatives} == {"peak", "best-static", "hindsight"}
    assert usd(seen, "hindsight") == pytest.approx(5.0)
    assert "no serverless pool" in seen.notes[0]


def test_nothing_ran_and_nothing_would_have_been_paid() -> None:
    seen = found([], paid=3)
    assert {each.cost for each in seen.alternatives} == {Money(0)}
    assert seen.regret is None


def test_without_a_price_nothing_is_weighed() -> None:
    bare = replace(RAY, offers=())
    assert counterfactual(bare, [BURST], [], Money(0), 0, BEGIN, BEGIN + HOUR_NS, DAY, 1.0) is None
    assert takes_work_of(BURST, RAY, DAY) and not takes_work_of(replace(BURST, offers=()), RAY, DAY)


@given(
    times=st.lists(st.tuples(st.floats(-2, 9), st.floats(0.1, 8)), max_size=10),
    boot_s=st.sampled_from([0.0, 300.0]),
)
@settings(deadline=None, max_examples=25)
def test_nothing_is_cheaper_than_hindsight(times: list[tuple[float, float]], boot_s: float) -> None:
    pool = replace(RAY, cold_start_s=boot_s)
    runs = [run(begin, hours) for begin, hours in times]
    seen = counterfactual(pool, [BURST], runs, Money(0), 0, BEGIN, BEGIN + 10 * HOUR_NS, DAY, 5.0)
    assert seen is not None
    least = usd(seen, "hindsight")
    assert all(float(each.cost.usd) >= least - 1e-6 for each in seen.alternatives)


def history(days: int) -> list[Run]:
    now = BEGIN + 11 * HOUR_NS
    return [
        Run(user="a", pool=pool, resources=HALF, started_ns=begin, ended_ns=end if end <= now else None)
        for begin, end, pool in workdays(days, now)
    ]


def test_a_commitment_is_proposed_for_what_is_busy_all_the_time() -> None:
    made = propose(RAY, [BURST], history(20), [COMMIT], BEGIN + 11 * HOUR_NS, DAY)
    assert made is not None and made.nodes == 1 and made.offer_id == COMMIT.id
    assert Money.of_usd(100) < made.saved < Money.of_usd(2 * 720)
    assert "1 node for a year at $0.40 an hour" in made.reason and "the broker buys nothing" in made.reason


@pytest.mark.parametrize("price", ["0.99", "5"])
def test_a_commitment_that_hardly_pays_is_not_proposed(price: str) -> None:
    dear = replace(COMMIT, usd_per_hour=Decimal(price))
    assert propose(RAY, [BURST], history(20), [dear], BEGIN + 11 * HOUR_NS, DAY) is None


def test_little_history_is_not_enough_for_a_commitment() -> None:
    assert propose(RAY, [BURST], history(10), [COMMIT], BEGIN + 11 * HOUR_NS, DAY) is None


def test_commitments_are_to_nodes_like_the_pools_of_its_own_provider_first() -> None:
    other = replace(COMMIT, id="other", provider="zen", usd_per_hour=COMMIT.usd_per_hour / 2)
    large = replace(COMMIT, id="large", cpus=64)
    assert [offer.id for offer in commitments(RAY, [other, large, COMMIT], DAY)] == [COMMIT.id]
    assert [offer.id for offer in commitments(RAY, [other, large], DAY)] == ["other"]
    gpus = replace(RAY, unit=replace(NODE, gpus=8, gpu_model="H100"))
    eight = replace(COMMIT, id="eight", gpu_model="H100", gpu_count=8)
    assert [offer.id for offer in commitments(gpus, [COMMIT, eight], DAY)] == ["eight"]
