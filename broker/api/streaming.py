"""Answers that last: bounded in what waits for a client, kept alive while nothing happens, cut off where none reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from random import uniform
from typing import Final

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

log = structlog.get_logger()

EVENTS: Final = "text/event-stream"
QUIET_S: Final = 15.0  # then, at the latest, a comment is sent, so that nothing between takes the stream for dead
PATIENCE_S: Final = 60.0  # a client that takes nothing for so long is cut off
LOOK_AGAIN_S: Final = 10.0  # how long who follows is believed to be somebody who may
ABORT: Final = "broker.abort"  # where the server leaves how a connection is ended at once
_NO_STORE: Final = {"Cache-Control": "no-store"}
Still = Callable[[], Awaitable[bool]]  # whether who follows still may


class Lasting(StreamingResponse):
    """Pieces as they come. The next is made only when the client has room for it, so that each holds one at most."""

    def __init__(
        self, pieces: AsyncGenerator[bytes], media_type: str, still: Still, patience_s: float = PATIENCE_S
    ) -> None:
        pieces = _as_long_as(still, pieces)
        super().__init__(pieces, media_type=media_type, headers=_NO_STORE)
        self._pieces = pieces
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them until their end, or the client's, or that of the patience with it."""

        async def patiently(message: Mapping[str, object]) -> None:
            async with asyncio.timeout(self._patience_s):
                await send(dict(message))

        try:
            await super().__call__(scope, receive, patiently)
        except TimeoutError:
            log.warning("a client that reads nothing is cut off", path=scope["path"], after_s=self._patience_s)
            if abort := scope.get(ABORT):
                abort()
                await asyncio.sleep(0)  # so that the server hears of it before this ends
        finally:
            await self._pieces.aclose()


def events(pieces: AsyncGenerator[bytes], still: Still, patience_s: float = PATIENCE_S) -> Lasting:
    """Server-sent events, with a comment whenever nothing happens for a while."""
    return Lasting(_with_signs(pieces), EVENTS, still, patience_s)


def event(kind: str, data: str, id: str = "") -> bytes:
    """One server-sent event; `id` is what a client sends as Last-Event-ID to go on after it."""
    return f"event: {kind}\ndata: {data}\n{f'id: {id}' if id else ''}".rstrip().encode() + b"\n\n"


async def _with_signs(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces, with signs of life between them."""
    coming: asyncio.Task[bytes] | None = None
    quiet_s = QUIET_S * uniform(0.7, 1)  # else thousands that were told something at once give their signs at once
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pieces))
            if not (await asyncio.wait([coming], timeout=quiet_s))[0]:
                yield b": quiet\n\n"
                continue
            try:
                piece = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield piece
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        await pieces.aclose()


async def _as_long_as(still: Still, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces, until who gets them may not any more: a token was revoked, or a membership has ended."""
    looked = time.monotonic()
    async with aclosing(pieces):
        async for piece in pieces:
            if time.monotonic() - looked >= LOOK_AGAIN_S:
                if not await still():
                    return
                looked = time.monotonic()
            yield piece
