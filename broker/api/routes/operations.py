"""/v1/pools, /v1/status, /v1/shutdown, /healthz and /readyz: the broker itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from broker.api import reports, schemas
from broker.api.autopilot import AutopilotView, view
from broker.api.requests import problems
from broker.run.service import Service

Name = Annotated[str, Path(description="Name of a pool.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def routes(service: Service) -> APIRouter:
    """The routes of the broker itself."""
    router = APIRouter(tags=["broker"])

    @router.get("/v1/pools", responses=problems())
    async def pools() -> schemas.PoolList:
        """Lists pools with what they have now, their prices with their age, and why some take no work."""
        return schemas.PoolList(pools=[reports.pool(each) for each in await service.operations.pools()])

    @router.get("/v1/pools/{name}", responses=problems(404))
    async def pool(name: Name) -> schemas.PoolView:
        """Shows one pool."""
        return reports.pool(await service.operations.pool(name))

    @router.get("/v1/status", responses=problems(503))
    async def status() -> schemas.StatusView:
        """Says how the daemon is and what it has to do."""
        return reports.status(await service.operations.status())

    @router.get("/v1/autopilot", responses=problems())
    async def autopilot() -> AutopilotView:
        """Says whether pools are steered by themselves, and what was decided last and is proposed, with the reasons."""
        return view(service.operations.autopilot())

    @router.post("/v1/shutdown", status_code=202, responses=problems(409))
    async def shutdown(wish: schemas.ShutdownWish) -> schemas.Accepted:
        """Ends the broker and what its pools started: after what runs has ended, or now. Queued jobs stay stored."""
        service.operations.shut_down(drain=wish.mode == "drain")
        return schemas.Accepted()

    @router.get("/healthz")
    async def health() -> schemas.Healthy:
        """Answers while the daemon does; needs no token."""
        return schemas.Healthy()

    @router.get("/readyz", responses={503: problems(503)[503]})
    async def ready() -> schemas.Healthy:
        """Answers while requests should be sent here: not when it is about to end, or the database is away."""
        await service.readiness.check()
        return schemas.Healthy()

    return router
