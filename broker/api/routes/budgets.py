"""/v1/budgets: how much may be spent, and how much is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import money, time_or_none
from broker.api.requests import problems
from broker.api.schemas import Money
from broker.model import budgets as model
from broker.model.money import Money as Amount
from broker.run.service import Service
from broker.run.settings.document import BudgetPart

Name = Annotated[str, Path(description="Name of a budget.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class BudgetView(BaseModel):
    """A budget and how it stands in its present period."""

    name: str
    limit: Money
    period: Literal["day", "week", "month", "total"]
    action: Literal["warn", "hold", "refuse"]
    user: str | None
    pool: str | None
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


def routes(service: Service) -> APIRouter:
    """The routes of budgets."""
    router = APIRouter(prefix="/v1/budgets", tags=["money"])

    @router.get("", responses=problems(503))
    async def every() -> BudgetList:
        """Lists budgets with what is spent, reserved and left in their present period."""
        return BudgetList(budgets=[view(each) for each in await service.budgets.standings()])

    @router.get("/{name}", responses=problems(404, 422, 503))
    async def show(name: Name) -> BudgetView:
        """Shows one budget."""
        return view((await service.budgets.standings(name))[0])

    @router.put("/{name}", responses=problems(409, 422, 503))
    async def set_(name: Name, wish: BudgetWish) -> BudgetView:
        """Makes a budget, or replaces it; jobs that are held are looked at again."""
        return view(await service.budgets.set(_budget(name, wish)))

    @router.delete("/{name}", responses=problems(404, 409, 422, 503))
    async def remove(name: Name) -> BudgetList:
        """Removes a budget; answers with those that are left."""
        await service.budgets.remove(name)
        return BudgetList(budgets=[view(each) for each in await service.budgets.standings()])

    return router


def _budget(name: str, wish: BudgetPart) -> model.Budget:
    return model.Budget(
        name=name,
        limit=Amount.of_usd(wish.limit),
        period=model.Period(wish.period),
        action=model.Action(wish.action),
        user=wish.user,
        pool=wish.pool,
        tag=wish.tag,
        stop_running=wish.stop_running,
    )


def view(standing: model.Standing) -> BudgetView:
    """A budget as it is answered."""
    budget = standing.budget
    return BudgetView(
        name=budget.name,
        limit=money(budget.limit),
        period=budget.period.value,
        action=budget.action.value,
        user=budget.user,
        pool=budget.pool,
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
