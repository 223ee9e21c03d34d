"""/v1/projects: whose jobs are whose, who may see and submit them, and how much they may use at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from broker.api import projects as views
from broker.api.requests import LOCATION, identity, problems
from broker.model.projects import Role
from broker.run.service import Service

Name = Annotated[str, Path(description="Name of a project.", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Member = Annotated[
    str,
    Path(description="User, as tokens name them.", pattern=r"^[^\x00-\x1f\x7f/]+$", max_length=64),
]


def routes(service: Service) -> APIRouter:
    """The routes of projects."""
    router = APIRouter(prefix="/v1/projects", tags=["projects"])
    _projects(router, service)
    _members(router, service)
    return router


def _projects(router: APIRouter, service: Service) -> None:
    @router.post("", status_code=201, responses={201: {"headers": LOCATION}, **problems(409, 503)})
    async def create(wish: views.NewProject, response: Response) -> views.ProjectView:
        """Makes a project. From then on, tokens that are not `admin` see the projects of their users alone."""
        made = views.project(await service.projects.create(wish.project(wish.name)))
        response.headers["Location"] = f"/v1/projects/{made.name}"
        return made

    @router.get("", responses=problems(503))
    async def every(request: Request) -> views.ProjectList:
        """Lists the projects that who asks may see, with their members."""
        return views.projects(await service.projects.seen(identity(request)))

    @router.get("/{name}", responses=problems(404, 503))
    async def show(name: Name, request: Request) -> views.ProjectView:
        """Shows one project."""
        return views.project(await service.projects.one(identity(request), name))

    @router.put("/{name}", responses=problems(404, 503))
    async def set_(name: Name, wish: views.ProjectPart) -> views.ProjectView:
        """Writes all of a project but its name and members; its jobs that wait are looked at again."""
        return views.project(await service.projects.change(wish.project(name)))

    @router.delete("/{name}", responses=problems(404, 409, 503))
    async def delete(name: Name, request: Request) -> views.ProjectList:
        """Deletes a project without jobs that wait or run; answers with those that are left."""
        await service.projects.delete(name)
        return views.projects(await service.projects.seen(identity(request)))


def _members(router: APIRouter, service: Service) -> None:
    @router.put("/{name}/members/{user}", responses=problems(404, 503))
    async def set_member(name: Name, user: Member, wish: views.MemberWish, request: Request) -> views.ProjectView:
        """Makes somebody a member, or gives a member another role. For the project's admins."""
        await service.projects.check(identity(request), name, Role.ADMIN)
        return views.project(await service.projects.keep_member(name, user, wish.role))

    @router.delete("/{name}/members/{user}", responses=problems(404, 503))
    async def remove_member(name: Name, user: Member, request: Request) -> views.ProjectView:
        """Ends a membership. For the project's admins."""
        await service.projects.check(identity(request), name, Role.ADMIN)
        return views.project(await service.projects.drop_member(name, user))
