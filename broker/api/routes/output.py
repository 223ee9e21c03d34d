"""/v1/jobs/{id}: what a job writes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from broker.api import schemas, views
from broker.api.requests import JobId, problems
from broker.ports import Stream
from broker.run.service import JobStanding, Service
from broker.run.service.output import Piece

BINARY: Final = "application/octet-stream"
EVENTS: Final = "text/event-stream"
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
                },
            }
        }
    },
}
StreamName = Annotated[Stream, Query(description="Which stream.")]
AttemptNumber = Annotated[int | None, Query(ge=1, description="Which attempt; the last where none is named.")]
_FARTHEST: Final = 1 << 43  # bytes: a file of any file system may be so long
_FOREVER: Final = {"Cache-Control": "no-store"}


def routes(service: Service) -> APIRouter:
    """The routes of output."""
    router = APIRouter(prefix="/v1", tags=["output"])
    _logs(router, service)
    return router


def _logs(router: APIRouter, service: Service) -> None:
    @router.get(
        "/jobs/{id}/logs",
        response_class=Response,
        responses={200: {**_BYTES, "headers": _PIECE_HEADERS, "description": "The bytes."}, **problems(404, 422, 503)},
    )
    async def logs(
        id: JobId,
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
            return StreamingResponse(_data(pieces), media_type=BINARY, headers=_FOREVER)
        piece = await service.output.logs(id, stream, attempt=attempt, offset=offset, limit=limit)
        headers = {
            "Broker-Next-Offset": str(piece.chunk.next_offset),
            "Broker-Complete": str(piece.chunk.complete).lower(),
            "Broker-Attempt": str(piece.attempt),
        }
        return Response(piece.chunk.data, media_type=BINARY, headers=headers)

    @router.get("/jobs/{id}/follow", response_class=Response, responses={200: _EVENTS, **problems(404, 422, 503)})
    async def follow(id: JobId) -> Response:
        """Streams a job as server-sent events: each state and all its output, both streams, until its end."""
        return StreamingResponse(_events(await service.follow(id)), media_type=EVENTS, headers=_FOREVER)


async def _data(pieces: AsyncIterator[JobStanding | Piece]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if isinstance(piece, Piece):
            yield piece.chunk.data


async def _events(pieces: AsyncIterator[JobStanding | Piece]) -> AsyncIterator[bytes]:
    last, ended = b"", False
    async for piece in pieces:
        if isinstance(piece, Piece):
            log = schemas.LogEvent(
                attempt=piece.attempt,
                stream=piece.stream,
                next_offset=piece.chunk.next_offset,
                data=b64encode(piece.chunk.data).decode(),
            )
            yield _event(b"log", log.model_dump_json().encode())
        else:
            last, ended = views.job(piece).model_dump_json().encode(), piece.ended
            yield _event(b"state", last)
    if ended:
        yield _event(b"end", last)


def _event(kind: bytes, data: bytes) -> bytes:
    return b"event: " + kind + b"\ndata: " + data + b"\n\n"
