"""/v1/volumes: named folders that outlive jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from broker.api import volumes as views
from broker.api.requests import LOCATION, Reading, User, identity, problems
from broker.run.service import Service

Name = Annotated[str, Path(description="Name of a volume.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]

Other = Annotated[
    str,
    Path(description="Another project; `*`: all, also those to come.", pattern=r"^(\*|[a-z0-9][a-z0-9_-]{0,39})$"),
]


def routes(service: Service) -> APIRouter:
    """The routes of volumes."""
    router = APIRouter(prefix="/v1/volumes", tags=["volumes"])

    @router.post("", status_code=201, responses={201: {"headers": LOCATION}, **problems(409, 503)})
    async def create(wish: views.VolumeWish, user: User, request: Request, response: Response) -> views.VolumeView:
        """Makes a volume of a project: for its submitters."""
        await service.projects.check_submitting(identity(request), wish.project, "project")
        made = views.view(await service.volumes.create(wish.name, wish.place, wish.project, user))
        response.headers["Location"] = f"/v1/volumes/{made.name}"
        return made

    @router.get("", responses=problems(404, 503))
    async def every(projects: Reading) -> views.VolumeList:
        """Lists volumes that jobs of one's own projects may use, with their sizes and those of these jobs that do."""
        return views.volumes(await service.volumes.every(projects))

    @router.get("/{name}", responses=problems(404, 503))
    async def show(name: Name, projects: Reading) -> views.VolumeView:
        """Shows one volume."""
        return views.view(await service.volumes.one(name, projects))

    @router.patch("/{name}", responses=problems(404, 503))
    async def give(name: Name, wish: views.OwnerWish, request: Request) -> views.VolumeView:
        """Makes a volume another project's: for admins of both."""
        return views.view(await service.volumes.give(identity(request), name, wish.project))

    @router.put("/{name}/shares/{project}", responses=problems(404, 409, 503))
    async def share(name: Name, project: Other, wish: views.ShareWish, request: Request) -> views.VolumeView:
        """Lets jobs of another project, or of all, read a volume, or write to it as well: for admins of its project."""
        return views.view(await service.volumes.share(identity(request), name, project, wish.access))

    @router.delete("/{name}/shares/{project}", responses=problems(404, 409, 503))
    async def unshare(name: Name, project: Other, request: Request) -> views.VolumeView:
        """Ends that; jobs that run keep what they have. For admins of its project."""
        return views.view(await service.volumes.share(identity(request), name, project, None))

    @router.delete("/{name}", responses=problems(404, 409, 503))
    async def remove(name: Name, request: Request) -> views.VolumeRemoved:
        """Removes a volume with all that is in it. One that a job uses which has not ended is not removed.

        For who made it, and admins of its project.
        """
        return views.VolumeRemoved(name=name, emptied=await service.volumes.remove(identity(request), name))

    return router
