"""/v1/plan and /v1/simulate: what to hold, and what policies would have cost."""

from __future__ import annotations

from fastapi import APIRouter

from broker.api.requests import problems
from broker.api.studies import PlanWish, SimulationWish, Study, StudyWish
from broker.run.service import Service


def routes(service: Service) -> APIRouter:
    """The routes of plans and simulations."""
    router = APIRouter(prefix="/v1", tags=["foresight"])

    async def history(wish: StudyWish) -> tuple[str, str]:
        """What a study is about, and its name."""
        if wish.trace is not None:
            return wish.trace, "trace"
        return await service.studies.history(wish.period), wish.period

    @router.post("/plan", responses=problems(413, 422, 503))
    async def plan(wish: PlanWish) -> Study:
        """Says what to commit to, to hold and to leave to serverless, and why, as `broker plan` does."""
        trace, source = ("", "demand") if wish.demand is not None else await history(wish)
        return Study(source=source, result=await service.studies.run("plan", wish.arguments, trace, wish.files))

    @router.post("/simulate", responses=problems(413, 422, 503))
    async def simulate(wish: SimulationWish) -> Study:
        """Says what policies would have cost, and the least that it could have cost, as `broker simulate` does."""
        trace, source = await history(wish)
        return Study(source=source, result=await service.studies.run("simulate", wish.arguments, trace))

    return router
