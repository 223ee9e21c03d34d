"""/v1/budgets: how much may be spent, and how much is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from broker.api import budgets as views
from broker.api.requests import Reading, identity, problems
from broker.run.service import Service
from broker.run.settings.budgets import budget_of
from broker.run.store.budgeting import no_budget

Name = Annotated[str, Path(description="Name of a budget.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def routes(service: Service) -> APIRouter:
    """The routes of budgets."""
    router = APIRouter(prefix="/v1/budgets", tags=["money"])

    @router.get("", responses=problems(404, 503))
    async def every(projects: Reading, request: Request) -> views.BudgetList:
        """Lists budgets with what is spent, reserved and left in their present period."""
        return views.budgets(views.seen(await service.budgets.standings(), projects, identity(request)))

    @router.get("/{name}", responses=problems(404, 503))
    async def show(name: Name, projects: Reading, request: Request) -> views.BudgetView:
        """Shows one budget."""
        found = views.seen(await service.budgets.standings(), projects, identity(request))
        wanted = [each for each in found if each.budget.name == name]
        if not wanted:
            raise no_budget(name)
        return views.view(wanted[0])

    @router.put("/{name}", responses=problems(409, 503))
    async def set_(name: Name, wish: views.BudgetWish) -> views.BudgetView:
        """Makes a budget, or replaces it; jobs that are held are looked at again."""
        return views.view(await service.budgets.set(budget_of(name, wish, configured=False)))

    @router.delete("/{name}", responses=problems(404, 409, 503))
    async def remove(name: Name) -> views.BudgetList:
        """Removes a budget; answers with those that are left."""
        await service.budgets.remove(name)
        return views.budgets(await service.budgets.standings())

    return router
