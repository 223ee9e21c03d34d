"""/v1/jobs/{id}: what a job writes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response

from broker.api import schemas, views
from broker.api.requests import JobId, problems, still
from broker.api.streaming import EVENTS, Lasting, event, events
from broker.ports import Stream
from broker.run.service import JobStanding, Service
from broker.run.service.following import Place
from broker.run.service.output import STREAMS, Piece

BINARY: Final = "application/octet-stream"
_BYTES: Final[dict[str, Any]] = {"content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
_PIECE_HEADERS: Final[dict[str, Any]] = {
    "Broker-Next-Offset": {"description": "Where the next piece begins.", "schema": {"type": "integer"}},
    "Broker-Complete": {"description": "true: this is the last piece.", "schema": {"type": "string"}},
    "Broker-Attempt": {"description": "Number of the attempt; 0: there is none.", "schema": {"type": "integer"}},
}
_EVENTS: Final[dict[str, Any]] = {
    "description": "`state`: the job (JobView), each time that its state changed. `log`: a piece of output (LogEvent). "
    "`end`: the job.",
    "content": {
        EVENTS: {
            "schema": {  # of each event
                "type": "object",
                "required": ["event", "data"],
                "properties": {
                    "event": {"enum": ["state", "log", "end"]},
                    "data": {"type": "string", "contentMediaType": "application/json"},
                    "id": {"type": "string", "description": "Send it as Last-Event-ID to go on behind it."},
                },
            }
        }
    },
}
StreamName = Annotated[Stream, Query(description="Which stream.")]
AttemptNumber = Annotated[int | None, Query(ge=1, description="Which attempt; the last where none is named.")]
LastEvent = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^([0-9]{1,6}(-[0-9]{1,12}){2})?$",
        description="Id of the event that was seen last.",
    ),
]
_FARTHEST: Final = 1 << 43  # bytes: a file of any file system may be so long


def routes(service: Service) -> APIRouter:
    """The routes of output."""
    router = APIRouter(prefix="/v1", tags=["output"])
    _logs(router, service)
    return router


def _logs(router: APIRouter, service: Service) -> None:
    @router.get(
        "/jobs/{id}/logs",
        response_class=Response,
        responses={200: {**_BYTES, "headers": _PIECE_HEADERS, "description": "The bytes."}, **problems(404, 503)},
    )
    async def logs(
        id: JobId,
        request: Request,
        stream: StreamName = "stdout",
        attempt: AttemptNumber = None,
        offset: Annotated[int, Query(ge=0, le=_FARTHEST, description="First byte.")] = 0,
        limit: Annotated[int, Query(ge=1, le=1 << 24, description="Bytes at most.")] = 1 << 20,
        follow: Annotated[bool, Query(description="Stream all of it, from the first attempt, until the end.")] = False,
    ) -> Response:
        """Reads a piece of a job's output as bytes; empty when there is nothing new yet.

        With `follow`, `offset` and `limit` mean nothing: the answer goes on until the job has ended.
        """
        if follow:
            pieces = await service.follow(id, streams=(stream,), attempt=attempt)
            return Lasting(_data(pieces), BINARY, still(request, id))
        piece = await service.output.logs(id, stream, attempt=attempt, offset=offset, limit=limit)
        headers = {
            "Broker-Next-Offset": str(piece.chunk.next_offset),
            "Broker-Complete": str(piece.chunk.complete).lower(),
            "Broker-Attempt": str(piece.attempt),
        }
        return Response(piece.chunk.data, media_type=BINARY, headers=headers)

    @router.get("/jobs/{id}/follow", response_class=Response, responses={200: _EVENTS, **problems(404, 503)})
    async def follow(id: JobId, request: Request, after: LastEvent = None) -> Response:
        """Streams a job as server-sent events: each state and all its output, both streams, until its end.

        A client that lost it goes on behind the event that it saw last, as browsers do by themselves.
        """
        place = _place(after)
        return events(_events(await service.follow(id, after=place), place), still(request, id))


async def _data(pieces: AsyncGenerator[JobStanding | Piece]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Piece):
                yield piece.chunk.data


async def _events(pieces: AsyncGenerator[JobStanding | Piece], place: Place | None) -> AsyncGenerator[bytes]:
    last, ended = "", False
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Piece):
                place = _behind(place, piece)
                yield event("log", _log(piece).model_dump_json(), _id(place))
            else:
                last, ended = views.job(piece).model_dump_json(), piece.ended
                yield event("state", last, _id(place))
    if ended:
        yield event("end", last, _id(place))


def _log(piece: Piece) -> schemas.LogEvent:
    return schemas.LogEvent(
        attempt=piece.attempt,
        stream=piece.stream,
        next_offset=piece.chunk.next_offset,
        data=b64encode(piece.chunk.data).decode(),
    )


def _behind(place: Place | None, piece: Piece) -> Place:
    before = place.offsets if place is not None and place.attempt == piece.attempt else {}
    return Place(attempt=piece.attempt, offsets={**before, piece.stream: piece.chunk.next_offset})


def _id(place: Place | None) -> str:
    """A place as the id of an event: the attempt, and how far its streams were read."""
    return "" if place is None else f"{place.attempt}-{'-'.join(str(place.offsets.get(name, 0)) for name in STREAMS)}"


def _place(id: str | None) -> Place | None:
    """The place that such an id is."""
    if not id:
        return None
    attempt, *offsets = map(int, id.split("-"))
    return Place(attempt=max(attempt, 1), offsets=dict(zip(STREAMS, offsets, strict=True)))
