"""Budgets as the API shows them, and as it is told them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import money, time_or_none
from broker.api.schemas import Money
from broker.model.budgets import Standing
from broker.model.tokens import Identity
from broker.run.settings.document import BudgetPart


class BudgetView(BaseModel):
    """A budget and how it stands in its present period."""

    name: str
    limit: Money
    period: Literal["day", "week", "month", "total"]
    action: Literal["warn", "hold", "refuse"]
    user: str | None
    pool: str | None
    project: str | None
    tag: str | None = Field(description="KEY=VALUE.")
    stop_running: bool
    configured: bool = Field(description="By the configuration: it can't be changed here.")
    since: datetime | None = Field(description="When its period began; null: from the beginning.")
    until: datetime | None = Field(description="When it begins anew; null: never.")
    spent: Money
    committed: Money = Field(description="Reserved for what runs, beyond what that was charged.")
    queued: Money = Field(description="Reserved for what waits.")
    left: Money = Field(description="What may be begun now: the limit without what is spent and committed.")
    unpriced: int = Field(description="Charges without a known price, which are in no amount.")


class BudgetList(BaseModel):
    """All budgets, by name."""

    budgets: list[BudgetView]


class BudgetWish(BudgetPart):
    """What a budget is to be."""

    model_config = ConfigDict(title="BudgetWish")


def budgets(found: Iterable[Standing]) -> BudgetList:
    """Budgets as they are answered."""
    return BudgetList(budgets=[view(each) for each in found])


def seen(found: Iterable[Standing], projects: frozenset[str] | None, who: Identity) -> list[Standing]:
    """Those of the projects, and of who asks: what is spent beside those is not everybody's to know."""
    if projects is None:
        return list(found)
    return [each for each in found if each.budget.project in projects or each.budget.user == (who.user or "")]


def view(standing: Standing) -> BudgetView:
    """A budget as it is answered."""
    budget = standing.budget
    return BudgetView(
        name=budget.name,
        limit=money(budget.limit),
        period=budget.period.value,
        action=budget.action.value,
        user=budget.user,
        pool=budget.pool,
        project=budget.project,
        tag="=".join(budget.tag) if budget.tag else None,
        stop_running=budget.stop_running,
        configured=budget.configured,
        since=time_or_none(standing.since_ns),
        until=time_or_none(standing.until_ns),
        spent=money(standing.spent),
        committed=money(standing.committed),
        queued=money(standing.queued),
        left=money(standing.left),
        unpriced=standing.unpriced,
    )
