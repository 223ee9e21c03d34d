"""/v1/demand, /v1/forecast, /v1/accuracy, /v1/counterfactual: what came, what comes, and what had been thought."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from broker.api import capacity as views
from broker.api.requests import MaxAge, Text, problems
from broker.decide.spend import PERIODS
from broker.run.service import Service

InWords = Annotated[Text, Query(description=f"In words: {PERIODS}.")]


def routes(service: Service) -> APIRouter:
    """The routes of what comes, came, and could have been."""
    router = APIRouter(prefix="/v1", tags=["foresight"])

    @router.get("/demand", responses=problems(404, 503))
    async def demand(pool: Text | None = None, period: InWords = "7d", max_age_s: MaxAge = 0.0) -> views.DemandList:
        """Says how many units of each pool, or of one, were busy over time, and what they and serverless cost."""
        return views.demands(await service.capacity.demand(pool, period, max_age_s))

    @router.get("/forecast", responses=problems(404, 503))
    async def forecast(pool: Text | None = None, max_age_s: MaxAge = 0.0) -> views.ForecastList:
        """Says how many units of each pool, or of one, will be busy in the next two days, with bands and why."""
        return views.forecasts(await service.capacity.forecast(pool, max_age_s))

    @router.get("/accuracy", responses=problems(404, 503))
    async def accuracy(pool: Text | None = None, period: InWords = "7d") -> views.AccuracyView:
        """Says day by day what was forecast and planned, what came, and what the forecast's error cost."""
        return views.accuracy(await service.capacity.accuracy(pool, period))

    @router.get("/counterfactual", responses=problems(404, 503))
    async def counterfactual(
        pool: Text | None = None, period: InWords = "7d", max_age_s: MaxAge = 0.0
    ) -> views.CounterfactualList:
        """Says what a past time would have cost bought otherwise, and with perfect hindsight."""
        return views.counterfactuals(await service.capacity.counterfactual(pool, period, max_age_s))

    return router
