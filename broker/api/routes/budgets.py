"""/v1/budgets: how much may be spent, and how much is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from broker.api import budgets as views
from broker.api.requests import problems
from broker.run.service import Service
from broker.run.settings.budgets import budget_of

Name = Annotated[str, Path(description="Name of a budget.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def routes(service: Service) -> APIRouter:
    """The routes of budgets."""
    router = APIRouter(prefix="/v1/budgets", tags=["money"])

    @router.get("", responses=problems(503))
    async def every() -> views.BudgetList:
        """Lists budgets with what is spent, reserved and left in their present period."""
        return views.budgets(await service.budgets.standings())

    @router.get("/{name}", responses=problems(404, 422, 503))
    async def show(name: Name) -> views.BudgetView:
        """Shows one budget."""
        return views.view((await service.budgets.standings(name))[0])

    @router.put("/{name}", responses=problems(409, 422, 503))
    async def set_(name: Name, wish: views.BudgetWish) -> views.BudgetView:
        """Makes a budget, or replaces it; jobs that are held are looked at again."""
        return views.view(await service.budgets.set(budget_of(name, wish, configured=False)))

    @router.delete("/{name}", responses=problems(404, 409, 422, 503))
    async def remove(name: Name) -> views.BudgetList:
        """Removes a budget; answers with those that are left."""
        await service.budgets.remove(name)
        return views.budgets(await service.budgets.standings())

    return router
