"""/v1/events: what happens, as it happens; /metrics: numbers for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse

from broker.api.events import as_json
from broker.api.requests import Reading, problems
from broker.run.events import Event
from broker.run.service import Service

EVENTS: Final = "text/event-stream"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
QUIET_S: Final = 15.0  # then a comment is sent, so that nothing between takes the stream for dead
Kind = Annotated[
    list[Annotated[str, Query(pattern="^[a-z_.]+$", max_length=40)]],
    Query(description="Only these kinds, or those that begin with them: job, job.failed, plan."),
]


def routes(service: Service) -> APIRouter:
    """The routes of events and metrics."""
    router = APIRouter(tags=["broker"])

    @router.get("/v1/events", response_class=Response, responses={200: _is(EVENTS), **problems(422)})
    async def events(projects: Reading, kind: Kind = []) -> Response:  # noqa: B006 - FastAPI copies it
        """Streams what happens from now on as server-sent events; a `missed` event counts those that came too fast."""
        return StreamingResponse(
            _stream(service, tuple(kind), projects), media_type=EVENTS, headers={"Cache-Control": "no-store"}
        )

    @router.get("/metrics", response_class=Response, responses={200: _is(PROMETHEUS), **problems(503)})
    async def metrics() -> Response:
        """Answers with all metrics in the text format of Prometheus."""
        return Response(await service.metrics.text(), media_type=PROMETHEUS)

    return router


def _is(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string"}}}}


async def _stream(service: Service, kinds: tuple[str, ...], projects: frozenset[str] | None) -> AsyncIterator[bytes]:
    with service.events.listen(everywhere=True) as listener:
        yield b": listening\n\n"
        while True:
            event = await listener.next(QUIET_S)
            if listener.missed:
                yield f"event: missed\ndata: {listener.missed}\n\n".encode()
                listener.missed = 0
            if event is None:
                yield b": quiet\n\n"
            elif _seen(event, projects) and (not kinds or any(_is_of(event.kind, kind) for kind in kinds)):
                yield f"event: {event.kind}\ndata: {as_json(event)}\n\n".encode()


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or kind.startswith(wanted + ".")


def _seen(event: Event, projects: frozenset[str] | None) -> bool:
    return projects is None or event.job is None or event.job.spec.project in projects
