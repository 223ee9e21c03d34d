"""/v1/schedules: jobs that are submitted again and again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from broker.api import schedules as views
from broker.api.requests import LOCATION, OnlyOf, Reading, User, check_submitting, identity, problems
from broker.model.projects import Role
from broker.run.service import Service
from broker.spec.schedule import ScheduleChange


async def _seen(
    request: Request,
    name: Annotated[str, Path(description="Name of a schedule.", pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$")],
) -> str:
    """The schedule, where its jobs are of a project that who asks may see. Raises `UnknownName`."""
    service: Service = request.app.state.service
    await service.schedules.one(name, await service.projects.reading(identity(request)))
    return name


async def _firing(request: Request, name: Annotated[str, Depends(_seen)]) -> str:
    """The same, where who asks may submit to that project, too. Raises `Forbidden`."""
    service: Service = request.app.state.service
    found = await service.schedules.one(name)
    await service.projects.check(identity(request), found.schedule.project, Role.SUBMITTER)
    return name


Name = Annotated[str, Depends(_seen)]
Fired = Annotated[str, Depends(_firing)]  # by what is asked for, now or later


def routes(service: Service) -> APIRouter:
    """The routes of schedules."""
    router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

    @router.post("", status_code=201, responses={201: {"headers": LOCATION}, **problems(409, 503)})
    async def create(wish: views.NewSchedule, user: User, request: Request, response: Response) -> views.ScheduleView:
        """Makes a schedule. Its job is checked as at a submission: what no pool could ever run is refused."""
        await check_submitting(request, wish.job)
        made = views.view(await service.schedules.create(wish.name, wish, user))
        response.headers["Location"] = f"/v1/schedules/{made.name}"
        return made

    @router.get("", responses=problems(404, 503))
    async def every(projects: Reading) -> views.ScheduleList:
        """Lists schedules with their next times and what became of their last firing."""
        return views.schedules(await service.schedules.every(projects))

    @router.get("/{name}", responses=problems(404, 503))
    async def show(name: Name) -> views.ScheduleView:
        """Shows one schedule with its next times and last firings."""
        return views.view(await service.schedules.one(name))

    @router.patch("/{name}", responses=problems(404, 503))
    async def change(name: Fired, change: ScheduleChange, request: Request, only_of: OnlyOf) -> views.ScheduleView:
        """Changes what is given: times, what happens when they collide or pass, the job. It keeps its history."""
        if change.job is not None:
            await check_submitting(request, change.job)
        return views.view(await service.schedules.change(name, change, only_of))

    @router.post("/{name}/pause", responses=problems(404, 503))
    async def pause(name: Name, only_of: OnlyOf) -> views.ScheduleView:
        """Fires no more until it is resumed, but when asked to."""
        return views.view(await service.schedules.pause(name, only_of, paused=True))

    @router.post("/{name}/resume", responses=problems(404, 503))
    async def resume(name: Fired, only_of: OnlyOf) -> views.ScheduleView:
        """Goes on from now; what would have fired meanwhile is not made up for."""
        return views.view(await service.schedules.pause(name, only_of, paused=False))

    @router.post("/{name}/run", responses=problems(404, 503))
    async def run(name: Fired, only_of: OnlyOf) -> views.FiringView:
        """Submits its job now, whatever else runs, paused or not. Answers with what became of it."""
        return views.firing(await service.schedules.run_now(name, only_of))

    @router.delete("/{name}", responses=problems(404, 503))
    async def remove(name: Name, only_of: OnlyOf, projects: Reading) -> views.ScheduleList:
        """Removes a schedule with the history of its firings; its jobs stay, and go on. Answers with those left."""
        await service.schedules.remove(name, only_of)
        return views.schedules(await service.schedules.every(projects))

    return router
