"""/v1/events: what happens, as it happens; /metrics: numbers for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from broker.api import streaming
from broker.api.events import as_json
from broker.api.requests import Reading, problems
from broker.api.streaming import EVENTS, event
from broker.run.service import Service
from broker.run.telling.events import Event

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
Kind = Annotated[
    list[Annotated[str, Query(pattern="^[a-z_.]+$", max_length=40)]],
    Query(description="Only these kinds, or those that begin with them: job, job.failed, plan."),
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

    @router.get("/v1/events", response_class=Response, responses={200: _is(EVENTS), **problems(404, 422)})
    async def events(projects: Reading, kind: Kind = [], after: LastEvent = None) -> Response:  # noqa: B006 - FastAPI copies it
        """Streams what happens from now on as server-sent events; a `missed` event counts those that came too fast.

        A client that lost it hears of what happened meanwhile, as long as that is remembered: a thousand events.
        """
        return streaming.events(_stream(service, tuple(kind), projects, after))

    @router.get("/metrics", response_class=Response, responses={200: _is(PROMETHEUS), **problems(503)})
    async def metrics() -> Response:
        """Answers with all metrics in the text format of Prometheus."""
        return Response(await service.metrics.text(), media_type=PROMETHEUS)

    return router


def _is(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string"}}}}


async def _stream(
    service: Service, kinds: tuple[str, ...], projects: frozenset[str] | None, after: str | None
) -> AsyncGenerator[bytes]:
    def wanted(each: Event) -> bool:
        return _seen(each, projects) and (not kinds or any(_is_of(each.kind, kind) for kind in kinds))

    with service.events.listen(everywhere=True) as listener:
        earlier, lost = service.events.since(after) if after else ([], False)
        here = service.events.place if lost or not after else after
        yield b": listening\n" + f"id: {here}\n\n".encode()
        if lost:
            yield event("missed", "null", here)
        for place, each in earlier:
            if wanted(each):
                yield event(each.kind, as_json(each), place)
        async for place, each in listener.all():
            if listener.missed:
                yield event("missed", str(listener.missed))
                listener.missed = 0
            if wanted(each):
                yield event(each.kind, as_json(each), place)


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(wanted + ".")


def _seen(event: Event, projects: frozenset[str] | None) -> bool:
    return projects is None or event.job is None or event.job.spec.project in projects
