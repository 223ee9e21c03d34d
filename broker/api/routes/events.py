"""/v1/events: what happens, as it happens; /metrics: numbers for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from broker.api import budgets, streaming
from broker.api.events import as_json
from broker.api.requests import MOST_TERMS, ReadingAnew, Seeing, identity, problems, still
from broker.api.streaming import EVENTS, event
from broker.model.errors import UnknownName
from broker.model.tokens import Identity
from broker.run.service import Service
from broker.run.telling.events import Event

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
Kind = Annotated[
    list[Annotated[str, Query(pattern="^[a-z_.]+$", max_length=40)]],
    Query(max_length=MOST_TERMS, description="Only these kinds, or those that begin with them: job, job.failed, plan."),
]


LastEvent = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^([0-9a-f]{8}-[0-9]{1,15})?$",
        description="Id of the event that was seen last.",
    ),
]


def routes(service: Service) -> APIRouter:
    """The routes of events and metrics."""
    router = APIRouter(tags=["broker"])

    @router.get("/v1/events", response_class=Response, responses={200: _is(EVENTS), **problems(404)})
    async def events(request: Request, seeing: ReadingAnew, kind: Kind = [], after: LastEvent = None) -> Response:  # noqa: B006 - FastAPI copies it
        """Streams what happens from now on as server-sent events; a `missed` event counts those that came too fast.

        A client that lost it hears of what happened meanwhile, as long as that is remembered: a thousand events.
        """
        sees = partial(_sees, identity(request), seeing)
        return streaming.events(_stream(service, tuple(kind), sees, after), still(request))

    @router.get("/metrics", response_class=Response, responses={200: _is(PROMETHEUS), **problems(503)})
    async def metrics(request: Request) -> Response:
        """Answers with all metrics in the text format of Prometheus; of budgets, with those that who asks may see."""
        who = identity(request)
        seen = partial(budgets.seen, projects=await service.projects.reading(who), who=who)
        return Response(await service.metrics.text(seen), media_type=PROMETHEUS)

    return router


def _is(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string"}}}}


async def _stream(
    service: Service, kinds: tuple[str, ...], sees: Callable[[Event], Awaitable[bool]], after: str | None
) -> AsyncGenerator[bytes]:
    async def wanted(each: Event) -> bool:
        return (not kinds or any(_is_of(each.kind, kind) for kind in kinds)) and await sees(each)

    with service.events.listen(everywhere=True) as listener:
        earlier, lost = service.events.since(after) if after else ([], False)
        here = service.events.place if lost or not after else after
        yield b": listening\n" + f"id: {here}\n\n".encode()
        if lost:
            yield event("missed", "null", here)
        for place, each in earlier:
            if await wanted(each):
                yield event(each.kind, as_json(each), place)
        async for place, each in listener.all():
            if listener.missed:
                yield event("missed", str(listener.missed))
                listener.missed = 0
            if await wanted(each):
                yield event(each.kind, as_json(each), place)


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(wanted + ".")


async def _sees(who: Identity, seeing: Seeing, event: Event) -> bool:
    """Whether an event is somebody's to hear of: of their projects, of their own budget, or of no project at all."""
    try:
        projects = await seeing()
    except UnknownName:
        return False  # the one that they asked for is not theirs to see any more
    if projects is None or event.kind.startswith("plan."):
        return True
    if event.job is not None:
        return event.job.spec.project in projects
    return event.project in projects or (event.user is not None and event.user == who.user)
