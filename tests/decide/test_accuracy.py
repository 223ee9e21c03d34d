"""Plan against actual: what a forecast was worth, by arithmetic that can be done by hand."""

from dataclasses import replace
from datetime import date

import pytest

from broker.decide.accuracy import Day, days
from broker.decide.steering import market
from broker.model.foresight import NodesDecision, Outlook
from broker.model.money import Money
from broker.model.runs import Run
from tests.run.past import BURST, DAY_NS, HOUR_NS, NODE, RAY

BEGIN = 20_500 * DAY_NS
TERMS = market(RAY, [BURST], date(2026, 2, 16))


def whole_nodes(count: int, begin_h: float, hours: float) -> list[Run]:
    began = BEGIN + round(begin_h * HOUR_NS)
    return [
        Run(user="a", pool="ray", resources=NODE, started_ns=began, ended_ns=began + round(hours * HOUR_NS))
        for _ in range(count)
    ]


def flat(low: float, median: float, high: float, at_ns: int = BEGIN) -> Outlook:
    rows = tuple(tuple([level] * 48) for level in (low, median, high))
    return Outlook(
        pool="ray",
        at_ns=at_ns,
        step_s=3_600.0,
        levels=(0.05, 0.5, 0.95),
        quantiles=rows,
        coverage=None,
        pinball=None,
        reason="r",
    )


def one_day(outlooks: list[Outlook], runs: list[Run], now_h: float = 24.0, **more: object) -> Day:
    values = {"decisions": [], "market": TERMS, "paid": {BEGIN: Money.of_usd(7)}, **more}
    now_ns = BEGIN + round(now_h * HOUR_NS)
    (found,) = days(RAY, outlooks, runs=runs, now_ns=now_ns, since_ns=BEGIN, **values)  # type: ignore[arg-type]
    return found


def test_a_forecast_that_said_too_much_costs_the_nodes_held_for_nothing() -> None:
    day = one_day([flat(2.9, 3.0, 3.1)], whole_nodes(1, 0, 24))
    assert (day.busy, day.peak, day.forecast) == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(3.0))
    assert (day.forecast_size, day.best_size, day.coverage) == (3.0, 1.0, 0.0)
    assert day.error_cost == Money.of_usd(2 * 24)  # two nodes at a dollar
    assert day.pinball == pytest.approx((0.95 * 1.9 + 0.5 * 2.0 + 0.05 * 2.1) / 3)
    assert day.paid == Money.of_usd(7)


def test_a_forecast_that_said_too_little_costs_serverless() -> None:
    day = one_day([flat(0.0, 0.0, 0.0)], whole_nodes(2, 0, 24))
    assert (day.forecast_size, day.best_size) == (0.0, 2.0)
    assert day.error_cost == Money.of_usd(2 * 24)  # two dollars instead of one, for two nodes


def test_a_good_forecast_costs_nothing_and_holds() -> None:
    day = one_day([flat(0.5, 1.0, 1.5)], whole_nodes(1, 0, 24))
    assert (day.coverage, day.error_cost) == (1.0, Money(0))


def test_of_today_the_hours_that_are_over_count() -> None:
    day = one_day([flat(0.5, 1.0, 1.5)], whole_nodes(1, 0, 24), now_h=6.5)
    assert (day.hours, day.coverage) == (6.0, 1.0)


def test_the_last_forecast_before_the_day_is_judged() -> None:
    early, last, within = (flat(n, n, n, BEGIN + at * HOUR_NS) for n, at in ((9.0, -20), (1.0, -2), (5.0, 3)))
    assert one_day([early, last, within], whole_nodes(1, 0, 24)).forecast == pytest.approx(1.0)
    none = one_day([within], whole_nodes(1, 0, 24))
    assert none.forecast is None and none.error_cost is None and "no forecast" in none.note


def test_what_was_planned_is_averaged_over_time() -> None:
    first = NodesDecision(at_ns=BEGIN - HOUR_NS, pool="ray", up=0, nodes=2, applied=True, reason="r")
    later = replace(first, at_ns=BEGIN + 18 * HOUR_NS, up=2, nodes=6)
    day = one_day([], [], decisions=[first, later])
    assert (day.planned, day.up) == (pytest.approx(3.0), pytest.approx(0.5))
    assert one_day([], []).planned is None


def test_without_a_price_an_error_costs_what_is_not_known() -> None:
    day = one_day([flat(1.0, 1.0, 1.0)], [], market=None)
    assert day.error_cost is None and "no price" in day.note and day.coverage is not None
