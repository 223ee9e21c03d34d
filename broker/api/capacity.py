"""Forecasts, their accounts and counterfactuals as the API shows them."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from broker.api.amounts import money, money_or_none, time
from broker.api.schemas import Money
from broker.model.foresight import Outlook
from broker.run.service.capacity import Account, Demanded, Foreseen

if TYPE_CHECKING:  # what they need weighs more than a daemon that is never asked
    from broker.decide.accuracy import Day
    from broker.decide.counterfactual import Alternative, Counterfactual


class OutlookView(BaseModel):
    """A forecast of the busy units (nodes or containers) of a pool."""

    at: datetime = Field(description="When it was made; its first step begins then.")
    step_s: float
    levels: list[float] = Field(description="Probabilities of the quantiles.")
    quantiles: list[list[float]] = Field(description="Units not exceeded with each of them: by level, then by step.")
    coverage: float | None = Field(description="How often its 90% band held in days before; null: not known yet.")
    pinball: float | None = Field(description="Mean loss of its quantiles in days before, in units.")
    reason: str


class ForecastView(BaseModel):
    """What is forecast for a pool."""

    pool: str
    max_units: int
    outlook: OutlookView | None = Field(description="Null: nothing has run yet.")


class ForecastList(BaseModel):
    """Forecasts by pool."""

    forecasts: list[ForecastView]


class DayView(BaseModel):
    """One day (UTC) of a pool: what was forecast and planned, and what came. Null is what is not known; see `note`."""

    day: date
    hours: float = Field(description="Hours of it that are over.")
    busy: float = Field(description="Units busy, on average.")
    peak: float = Field(description="Units busy in the busiest hour.")
    forecast: float | None = Field(description="The median of the last forecast before the day, on average.")
    low: float | None = Field(description="Its 90% band, on average.")
    high: float | None
    pinball: float | None = Field(description="Mean loss of its quantiles, in units.")
    coverage: float | None = Field(description="Share of the hours in which the band held.")
    planned: float | None = Field(description="Nodes that the autopilot wanted, on average.")
    up: float | None = Field(description="Nodes that it found.")
    forecast_size: float | None = Field(description="Nodes that the forecast said to hold all day.")
    best_size: float | None = Field(description="Nodes that would have been best to hold all day.")
    error_cost: Money | None = Field(description="What holding the former would have cost more than the latter.")
    paid: Money | None = Field(description="In this pool.")
    note: str


class AccountView(BaseModel):
    """Plan against actual of a pool, day by day."""

    pool: str
    days: list[DayView]


class AccuracyView(BaseModel):
    """Plan against actual by pool."""

    accounts: list[AccountView]


class AlternativeView(BaseModel):
    """Another way to have bought the same work."""

    name: str
    title: str
    cost: Money
    hindsight: bool = Field(description="It needed to know what would come.")
    note: str


class CounterfactualView(BaseModel):
    """What else a cluster's work could have cost."""

    pool: str
    since: datetime
    until: datetime
    node_hours: float = Field(description="Of work.")
    peak: float = Field(description="Nodes busy in the busiest step.")
    paid: Money
    unknown: int = Field(description="Charges without a known price, which are not in `paid`.")
    regret: float | None = Field(description="What was paid over what perfect hindsight would have.")
    alternatives: list[AlternativeView] = Field(description="Cheapest first.")
    notes: list[str]


class CounterfactualList(BaseModel):
    """Counterfactuals by cluster; clusters without a price have none."""

    counterfactuals: list[CounterfactualView]


class DemandView(BaseModel):
    """The units (nodes or containers) of a pool that were busy, over time."""

    pool: str
    kind: Literal["cluster", "serverless"]
    max_units: int
    since: datetime
    seen_since: datetime = Field(description="When the first job of all began, where that is later than `since`.")
    step_s: float
    busy: list[float] = Field(description="Units busy in each step, on average; all work that they could hold counts.")
    usd_per_unit_hour: float | None = Field(description="Of a node, busy or not. Null: of containers, or not known.")
    serverless_usd_per_unit_hour: float | None = Field(
        description="For the work of one node in the cheapest serverless pool that could take it; null: none could."
    )


class DemandList(BaseModel):
    """Demand by pool."""

    demands: list[DemandView]


def demands(found: tuple[Demanded, ...]) -> DemandList:
    """Demand by pool."""
    return DemandList(demands=[_demand(each) for each in found])


def _demand(found: Demanded) -> DemandView:
    return DemandView(
        pool=found.pool.name,
        kind=found.pool.kind.value,
        max_units=found.pool.max_units,
        since=time(found.since_ns),
        seen_since=time(found.seen_since_ns),
        step_s=found.step_s,
        busy=list(found.busy),
        usd_per_unit_hour=found.usd_per_hour,
        serverless_usd_per_unit_hour=found.serverless_usd_per_hour,
    )


def forecasts(found: tuple[Foreseen, ...]) -> ForecastList:
    """Forecasts by pool."""
    return ForecastList(
        forecasts=[
            ForecastView(
                pool=each.pool.name,
                max_units=each.pool.max_units,
                outlook=_outlook(each.outlook) if each.outlook else None,
            )
            for each in found
        ]
    )


def _outlook(outlook: Outlook) -> OutlookView:
    return OutlookView(
        at=time(outlook.at_ns),
        step_s=outlook.step_s,
        levels=list(outlook.levels),
        quantiles=[list(row) for row in outlook.quantiles],
        coverage=outlook.coverage,
        pinball=outlook.pinball,
        reason=outlook.reason,
    )


def accuracy(found: tuple[Account, ...]) -> AccuracyView:
    """Plan against actual by pool."""
    return AccuracyView(
        accounts=[AccountView(pool=each.pool.name, days=[_day(day) for day in each.days]) for each in found]
    )


def _day(day: Day) -> DayView:
    return DayView(
        day=time(day.begin_ns).date(),
        hours=day.hours,
        busy=day.busy,
        peak=day.peak,
        forecast=day.forecast,
        low=day.low,
        high=day.high,
        pinball=day.pinball,
        coverage=day.coverage,
        planned=day.planned,
        up=day.up,
        forecast_size=day.forecast_size,
        best_size=day.best_size,
        error_cost=money_or_none(day.error_cost),
        paid=money_or_none(day.paid),
        note=day.note,
    )


def counterfactuals(found: tuple[Counterfactual, ...]) -> CounterfactualList:
    """Counterfactuals by cluster."""
    return CounterfactualList(counterfactuals=[_counterfactual(each) for each in found])


def _counterfactual(found: Counterfactual) -> CounterfactualView:
    return CounterfactualView(
        pool=found.pool,
        since=time(found.since_ns),
        until=time(found.until_ns),
        node_hours=found.node_hours,
        peak=found.peak,
        paid=money(found.paid),
        unknown=found.unknown,
        regret=found.regret,
        alternatives=[_alternative(each) for each in found.alternatives],
        notes=list(found.notes),
    )


def _alternative(found: Alternative) -> AlternativeView:
    return AlternativeView(
        name=found.name, title=found.title, cost=money(found.cost), hindsight=found.hindsight, note=found.note
    )
