"""Where an answer turns: the amount bought is the same within the range of prices, and another one beyond it."""

from dataclasses import replace

import pytest

from broker.decide.plan import Problem, solve
from broker.decide.plan.sensitivity import price_range
from tests.decide.plan.problems import drawn
from tests.decide.plan.test_solve import plain


def _hours(problem: Problem, name: str, usd: float) -> float:
    offers = tuple(replace(each, usd_per_gpu_hour=usd) if each.name == name else each for each in problem.offers)
    return solve(replace(problem, offers=offers)).holdings[name].gpu_hours


@pytest.mark.parametrize("name", ["firm", "short", "daily", "burst"])
@pytest.mark.parametrize("seed", range(3))
def test_the_amount_changes_where_it_is_said_and_not_before(seed: int, name: str) -> None:
    problem = plain(seed)
    price = next(each.usd_per_gpu_hour for each in problem.offers if each.name == name)
    here, found = _hours(problem, name, price), price_range(problem, name)
    if found.above_usd is not None:
        assert found.above_usd >= price - 1e-9
        assert _hours(problem, name, found.above_usd + 1e-3) < here - 1e-6
        inside = (price + found.above_usd) / 2
        assert _hours(problem, name, inside) == pytest.approx(here, rel=1e-6)
    if found.below_usd is not None:
        assert found.below_usd <= price + 1e-9
        assert _hours(problem, name, found.below_usd - 1e-3) > here + 1e-6


def test_an_offer_that_nobody_takes_has_a_price_from_which_on_it_is_taken() -> None:
    problem = plain(1)
    dear = replace(problem, offers=(*problem.offers[:3], replace(problem.offers[3], usd_per_gpu_hour=400.0)))
    found = price_range(dear, "burst")
    assert found.above_usd is None or _hours(dear, "burst", 400.0) > 0
    assert found.below_usd is not None
    assert found.below_usd < 400.0


def test_classes_and_starts_do_not_get_in_the_way() -> None:
    problem = drawn(5, steps=16)
    found = price_range(problem, "firm")
    assert found.below_usd is None or found.above_usd is None or found.below_usd <= found.above_usd
