"""/v1/volumes: named folders that outlive jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from broker.api import volumes as views
from broker.api.requests import LOCATION, OnlyOf, Reading, User, problems
from broker.run.service import Service

Name = Annotated[str, Path(description="Name of a volume.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def routes(service: Service) -> APIRouter:
    """The routes of volumes."""
    router = APIRouter(prefix="/v1/volumes", tags=["volumes"])

    @router.post("", status_code=201, responses={201: {"headers": LOCATION}, **problems(409, 422, 503)})
    async def create(wish: views.VolumeWish, user: User, response: Response) -> views.VolumeView:
        """Makes a volume."""
        made = views.view(await service.volumes.create(wish.name, wish.place, user))
        response.headers["Location"] = f"/v1/volumes/{made.name}"
        return made

    @router.get("", responses=problems(404, 422, 503))
    async def every(projects: Reading) -> views.VolumeList:
        """Lists volumes with their sizes and the jobs that use them, of those that who asks may see."""
        return views.volumes(await service.volumes.every(projects))

    @router.get("/{name}", responses=problems(404, 422, 503))
    async def show(name: Name, projects: Reading) -> views.VolumeView:
        """Shows one volume."""
        return views.view(await service.volumes.one(name, projects))

    @router.delete("/{name}", responses=problems(404, 409, 422, 503))
    async def remove(name: Name, only_of: OnlyOf) -> views.VolumeRemoved:
        """Removes a volume with all that is in it. One that a job uses which has not ended is not removed."""
        return views.VolumeRemoved(name=name, emptied=await service.volumes.remove(name, only_of))

    return router
