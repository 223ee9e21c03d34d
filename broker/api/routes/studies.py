"""/v1/plan and /v1/simulate: what to hold, and what policies would have cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from broker.api import studies as views
from broker.api.requests import MaxAge, Text, problems
from broker.api.studies import PlanWish, SimulationWish, Study, StudyWish
from broker.run.service import Service
from broker.run.service.planning import DAYS

OfGpu = Annotated[Text | None, Query(description="Plan for what ran on this model alone; by default for all work.")]
Days = Annotated[float, Query(ge=1, le=90, description="Plan for what may come in so many days.")]


def routes(service: Service) -> APIRouter:
    """The routes of plans and simulations."""
    router = APIRouter(prefix="/v1", tags=["foresight"])

    async def history(wish: StudyWish) -> tuple[str, str]:
        """What a study is about, and its name."""
        if wish.trace is not None:
            return wish.trace, "trace"
        return await service.studies.history(wish.period), wish.period

    @router.get("/plan", responses=problems(503))
    async def own_plan(gpu: OfGpu = None, days: Days = DAYS, max_age_s: MaxAge = 0.0) -> views.OwnPlanView:
        """Says what to commit to, to hold and to leave to serverless for the broker's own work, at its own prices.

        One plan for all GPU models that its jobs used: those that may run on several go where it is cheapest.
        """
        found = await service.planning.plan(gpu, days, max_age_s)
        return views.own_plan(found, service.pricing.stale_price_days)

    @router.post("/plan", responses=problems(413, 503))
    async def plan(wish: PlanWish) -> Study:
        """Says what to commit to, to hold and to leave to serverless, and why, as `broker plan` does."""
        trace, source = ("", "demand") if wish.demand is not None else await history(wish)
        return Study(source=source, result=await service.studies.run("plan", wish.arguments, trace, wish.files))

    @router.post("/simulate", responses=problems(413, 503))
    async def simulate(wish: SimulationWish) -> Study:
        """Says what policies would have cost, and the least that it could have cost, as `broker simulate` does."""
        trace, source = await history(wish)
        return Study(source=source, result=await service.studies.run("simulate", wish.arguments, trace))

    return router
