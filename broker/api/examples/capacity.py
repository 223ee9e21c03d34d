"""What was busy, what is expected, and what the autopilot makes of it, for the node of the made-up past."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

from broker.api import autopilot, capacity
from broker.api.amounts import money, time
from broker.api.examples.past import ledger
from broker.api.examples.pools import CLUSTER, COMMITTED, MODAL, RENTED
from broker.api.examples.times import MIDNIGHT, NOW, at
from broker.model.foresight import Outlook
from broker.model.money import NS_PER_HOUR, NS_PER_S, Money
from broker.run.service.capacity import Demanded, Foreseen

_QUARTER_DAY_S: Final = 21_600.0
_NODE_ON_SERVERLESS: Final = Decimal("52.49")  # dollars for an hour of what one node can do
_NODE_HOURS: Final = Decimal("2.91")  # of work that morning


def demand() -> capacity.DemandList:
    """How many nodes were busy each hour of the morning."""
    busy = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.417, 0.5, 0.5, 0.66, 0.5, 0.333)
    morning = Demanded(
        pool=CLUSTER,
        since_ns=MIDNIGHT,
        seen_since_ns=MIDNIGHT,
        step_s=3_600.0,
        busy=busy,
        usd_per_hour=float(RENTED.usd_per_hour),
        serverless_usd_per_hour=float(_NODE_ON_SERVERLESS),
    )
    return capacity.demands((morning,))


def forecast() -> capacity.ForecastList:
    """How many nodes will be busy in the next two days."""
    outlook = Outlook(
        pool=CLUSTER.name,
        at_ns=NOW,
        step_s=_QUARTER_DAY_S,
        levels=(0.05, 0.5, 0.95),
        quantiles=(
            (0.1, 0.0, 0.0, 0.2, 0.1, 0.0, 0.0, 0.2),
            (0.5, 0.2, 0.1, 0.6, 0.5, 0.2, 0.1, 0.6),
            (1.1, 0.8, 0.6, 1.5, 1.3, 0.9, 0.7, 1.6),
        ),
        coverage=0.91,
        pinball=0.06,
        reason="what runs now, and arrivals as on the last 14 days; chosen by 13 backtests",
    )
    return capacity.forecasts((Foreseen(pool=CLUSTER, outlook=outlook), Foreseen(pool=MODAL, outlook=None)))


def accuracy() -> capacity.AccuracyView:
    """How the forecast of the day before did."""
    day = capacity.DayView(
        day=date(2026, 11, 1),
        hours=24.0,
        busy=0.31,
        peak=0.75,
        forecast=0.28,
        low=0.05,
        high=0.81,
        pinball=0.05,
        coverage=0.92,
        planned=1.0,
        up=1.0,
        forecast_size=0.0,
        best_size=0.0,
        error_cost=money(Money(0)),
        paid=money(Money.of_rate(RENTED.usd_per_hour, 24 * NS_PER_HOUR)),
        note="",
    )
    return capacity.AccuracyView(accounts=[capacity.AccountView(pool=CLUSTER.name, days=[day])])


def counterfactual() -> capacity.CounterfactualList:
    """What the morning's work would have cost otherwise."""
    paid = Money.total(each.amount for each in ledger() if each.pool == CLUSTER.name and each.amount is not None)
    elsewhere = Money.of_rate(_NODE_ON_SERVERLESS * _NODE_HOURS, NS_PER_HOUR)
    ways = (
        ("hindsight", "perfect hindsight", elsewhere, True, "nodes and serverless, each when it is cheaper"),
        ("all-serverless", "all serverless", elsewhere + Money.of_usd("0.63"), False, "$0.63 of it for 3 cold starts"),
        ("peak", "cluster for the peak", paid, True, "1 nodes all the time"),
    )
    found = capacity.CounterfactualView(
        pool=CLUSTER.name,
        since=time(at("06:00")),
        until=time(NOW),
        node_hours=float(_NODE_HOURS),
        peak=0.75,
        paid=money(paid),
        unknown=0,
        regret=round(paid.nanodollars / elsewhere.nanodollars, 4),
        alternatives=[
            capacity.AlternativeView(name=name, title=title, cost=money(cost), hindsight=hindsight, note=note)
            for name, title, cost, hindsight, note in ways
        ],
        notes=["alternatives divide nodes without loss; what was paid did not"],
    )
    return capacity.CounterfactualList(counterfactuals=[found])


def steered() -> autopilot.AutopilotView:
    """What the autopilot decided last, and what it proposes."""
    nodes = autopilot.AutopilotDecision(
        at=time(NOW - 20 * NS_PER_S),
        pool=CLUSTER.name,
        up=1,
        nodes=0,
        applied=True,
        reason="0.3 nodes' work runs here, 0.1 elsewhere, and 0.0 waits: less than is worth a node",
    )
    warm = autopilot.WarmDecisionView(
        at=time(NOW - 20 * NS_PER_S),
        pool=MODAL.name,
        before=_kept(60.0),
        after=_kept(15.0),
        applied=True,
        reason="jobs come 9 minutes apart: an idle container costs more than it saves",
    )
    proposal = autopilot.ProposalView(
        at=time(at("04:00")),
        pool=CLUSTER.name,
        offer_id=COMMITTED.id,
        nodes=1,
        usd_per_hour=str(COMMITTED.usd_per_hour),
        saved=money(Money.of_usd("1180.40")),
        days=30,
        reason=f"1 node for three years at ${COMMITTED.usd_per_hour:.4g} an hour instead of $55.04 on demand or "
        f"${_NODE_ON_SERVERLESS} on serverless: as the last 90 days were, $1,180.40 less in 30 days",
    )
    return autopilot.AutopilotView(mode="on", every_s=60.0, decisions=[nodes], warm=[warm], proposals=[proposal])


def _kept(window_s: float) -> autopilot.KeepWarmView:
    return autopilot.KeepWarmView(scaledown_window_s=window_s, min_containers=0, buffer_containers=0)
