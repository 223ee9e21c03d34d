"""/v1/prices and /v1/breakeven: what GPUs cost today, and when holding one pays."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query

from broker.api import prices as views
from broker.api.requests import MOST_TERMS, Text, problems
from broker.decide.breakeven import Conditions
from broker.run.service import Service

GPU = "A GPU model: H100, A100-80GB, L4."


def routes(service: Service) -> APIRouter:
    """The routes of prices."""
    router = APIRouter(prefix="/v1", tags=["prices"])

    @router.get("/prices", responses=problems(409))
    async def prices(gpu: Annotated[Text | None, Query(description=GPU)] = None) -> views.OfferList:
        """Lists today's offers of all price sources that have a GPU, or this model, cheapest per GPU first."""
        pricing = service.pricing
        return views.offers(await pricing.offers(gpu), pricing.today(), pricing.stale_price_days)

    @router.get("/breakeven", responses=problems(404, 409))
    async def breakeven(
        gpu: Annotated[Text, Query(description=GPU)],
        serverless: Annotated[
            list[Text], Query(max_length=MOST_TERMS, description="Only these serverless providers.")
        ] = [],  # noqa: B006 - FastAPI copies it
        job_s: Annotated[float, Query(gt=0, le=1e9, allow_inf_nan=False, description="Length of a job.")] = 600.0,
        cold_start_s: Annotated[
            float, Query(ge=0, le=1e7, allow_inf_nan=False, description="Billed before each job.")
        ] = 0.0,
        idle_tail_s: Annotated[
            float, Query(ge=0, le=1e7, allow_inf_nan=False, description="Billed after each job.")
        ] = 0.0,
        ops_share: Annotated[
            float, Query(ge=0, le=100, allow_inf_nan=False, description="Staff and tools, as a share of the price.")
        ] = 0.0,
        every: Annotated[bool, Query(description="Every offer, not the cheapest of each provider and tier.")] = False,
    ) -> views.BreakevenList:
        """Says how busy a GPU must be for holding it to cost less than buying its work, offer by offer."""
        conditions = Conditions(
            job_s=Decimal(str(job_s)),
            cold_start_s=Decimal(str(cold_start_s)),
            idle_tail_s=Decimal(str(idle_tail_s)),
            ops_share=Decimal(str(ops_share)),
        )
        return views.breakevens(await service.pricing.breakeven(gpu, conditions, serverless, every=every))

    return router
