"""What the made-up past cost: spend, budgets, prices and breakevens, from its ledger and offers."""

from __future__ import annotations

import csv
import io
from typing import Final

from broker.api import budgets as budget_views
from broker.api import prices as price_views
from broker.api import spending
from broker.api.examples.past import PROJECT, ledger, record
from broker.api.examples.pools import CLUSTER, MODAL, OFFERS
from broker.api.examples.times import NOW, TODAY
from broker.decide.breakeven import Conditions
from broker.decide.spend import SpendReport, parse_period, spend_report, this_period, to_csv
from broker.model.budgets import Action, Budget, Period, Standing
from broker.model.money import ZERO, Money
from broker.model.usage import ChargeKind, SpendRow
from broker.run.money.breakeven_table import Asked, breakeven_table

BUDGET: Final = Budget(
    name="vision-month", limit=Money.of_usd(25_000), period=Period.MONTH, action=Action.HOLD, project=PROJECT
)
_STALE_DAYS: Final = 60


def report() -> SpendReport:
    """The spend of the day until now, by pool."""
    rows = [_row(pool) for pool in (CLUSTER.name, MODAL.name)]
    return spend_report(rows, ("pool",), parse_period("today", NOW))


def spend() -> spending.SpendView:
    """The same as it is answered."""
    return spending.spend(report())


def spend_csv() -> str:
    """The same as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(to_csv(report()))
    return text.getvalue()


def budget() -> budget_views.BudgetView:
    """A budget of which the day's jobs were paid."""
    since_ns, until_ns = this_period("month", NOW)
    jobs = [each.amount for each in ledger() if each.attempt_id is not None and each.amount is not None]
    standing = Standing(
        budget=BUDGET, since_ns=since_ns, until_ns=until_ns, spent=Money.total(jobs), committed=ZERO, queued=ZERO
    )
    return budget_views.view(standing)


def prices() -> price_views.OfferList:
    """What an H100 costs, cheapest first."""
    return price_views.offers(sorted(OFFERS, key=lambda offer: offer.usd_per_gpu_hour or 0), TODAY, _STALE_DAYS)


def breakevens() -> price_views.BreakevenList:
    """How busy a held H100 must be."""
    return price_views.breakevens(breakeven_table(OFFERS, "H100", Asked(day=TODAY, conditions=Conditions())))


def _row(pool: str) -> SpendRow:
    charges = [each for each in ledger() if each.pool == pool and each.amount is not None]
    amounts = {of_job: Money(0) for of_job in (True, False)}
    for each in charges:
        amounts[each.kind is ChargeKind.JOB] += each.amount or ZERO
    predicted = record().predicted if pool == CLUSTER.name else None
    return SpendRow(group=(pool,), job=amounts[True], overhead=amounts[False], unknown=0, predicted=predicted)
