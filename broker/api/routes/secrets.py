"""/v1/secrets: what jobs find in their environment and nobody is told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from broker.api import secrets as views
from broker.api.requests import Reading, User, identity, problems
from broker.model.secrets import VARIABLE
from broker.run.service import Service

Name = Annotated[str, Path(description="Name of a secret.", pattern=f"^{VARIABLE}$", max_length=255)]


def routes(service: Service) -> APIRouter:
    """The routes of secrets."""
    router = APIRouter(prefix="/v1/secrets", tags=["secrets"])

    @router.get("", responses=problems(404, 503))
    async def every(projects: Reading) -> views.SecretList:
        """Lists secrets without their values: those that jobs of one's own projects may name."""
        return views.secrets(await service.secrets.every(projects))

    @router.get("/{name}", responses=problems(404, 503))
    async def show(name: Name, projects: Reading) -> views.SecretView:
        """Shows one secret without its value: one that jobs of one's own projects may name."""
        return views.view(await service.secrets.one(name, projects))

    @router.put("/{name}", responses=problems(409, 503))
    async def set_(name: Name, wish: views.SecretWish, user: User, request: Request) -> views.SecretView:
        """Sets a secret: a new version, which attempts get that are launched from now on."""
        for project in wish.projects:
            await service.projects.check_submitting(identity(request), project, "projects")
        return views.view(await service.secrets.set(name, wish.value, user, wish.projects))

    @router.delete("/{name}", responses=problems(404, 503))
    async def remove(name: Name) -> views.SecretList:
        """Removes a secret with all its versions; answers with those that are left."""
        await service.secrets.remove(name)
        return views.secrets(await service.secrets.every())

    @router.post("/rotate-key", responses=problems(409, 503))
    async def rotate_key() -> views.Rotated:
        """Seals all secrets with a new key, and drops the old one."""
        return views.Rotated(sealed=await service.secrets.rotate_key())

    return router
