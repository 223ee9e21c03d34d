"""Where an answer turns: above the price that is said nothing of an offer is bought, below it something is."""

from dataclasses import replace

import pytest

from broker.decide.plan import Kind, Offer, Problem, sensitivity, solve
from broker.decide.plan.sensitivity import bought_below, in_parts
from tests.decide.plan.problems import drawn
from tests.decide.plan.test_solve import plain


def _hours(problem: Problem, name: str, usd: float) -> float:
    offers = tuple(replace(each, usd_per_gpu_hour=usd) if each.name == name else each for each in problem.offers)
    return solve(replace(problem, offers=offers)).holdings[name].gpu_hours


@pytest.mark.parametrize("name", ["firm", "short", "daily", "burst"])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_bought_below_the_price_and_not_above(seed: int, name: str) -> None:
    problem = plain(seed)
    found = bought_below(problem, name)
    assert found is not None
    assert _hours(problem, name, found + 1e-3) == pytest.approx(0.0, abs=1e-6)
    assert _hours(problem, name, found - 1e-3) > 1e-6


@pytest.mark.parametrize("name", ["firm", "short"])
@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_where_only_whole_nodes_are_sold(seed: int, name: str) -> None:
    one = plain(seed)
    nodes = {"firm": 8, "short": 3, "burst": 1}
    offers = tuple(replace(each, node=nodes[each.name]) for each in one.offers if each.name in nodes)
    problem = replace(one, offers=offers, whole_nodes=True)
    found = bought_below(problem, name)
    assert found is not None
    assert _hours(problem, name, found + 1e-3) == pytest.approx(0.0, abs=1e-6)
    assert _hours(problem, name, found - 1e-3) > 1e-6


def test_of_many_whole_nodes_it_is_that_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    one = plain(2)
    whole = replace(one, offers=tuple(replace(each, node=8) for each in one.offers), whole_nodes=True)
    assert not in_parts(whole)
    monkeypatch.setattr(sensitivity, "MOST_STEPS", whole.steps - 1)
    assert in_parts(whole) and not in_parts(one)
    assert bought_below(whole, "firm") == pytest.approx(bought_below(replace(whole, whole_nodes=False), "firm"))


@pytest.mark.parametrize("seed", range(3))
def test_classes_starts_and_waiting_do_not_get_in_the_way(seed: int) -> None:
    problem = drawn(seed, steps=16)
    found = bought_below(problem, "firm")
    if found is not None and found < float("inf"):
        assert _hours(problem, "firm", found + 1e-2) == pytest.approx(0.0, abs=1e-5)
        assert _hours(problem, "firm", max(found - 1e-2, 0.0)) > 1e-6


def test_what_nothing_can_replace_is_bought_at_any_price() -> None:
    only = Offer(name="only", kind=Kind.SERVERLESS, usd_per_gpu_hour=1.0)
    assert bought_below(replace(plain(1), offers=(only,)), "only") == float("inf")
