"""A job → all that it writes and each state that it is seen in, as it happens, until its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from broker.model.errors import ExecutorError
from broker.model.jobs import Attempt
from broker.ports import Stream
from broker.run.broker import Broker
from broker.run.service.answers import JobStanding
from broker.run.service.crowd import Crowd
from broker.run.service.output import STREAMS, Output, Piece

_PIECE: Final = 1 << 16  # of which each client that reads slowly holds one
_PATIENCE_S: Final = 10.0  # how long the rest of the output of an ended job is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a job was followed."""

    attempt: int
    offsets: Mapping[Stream, int]  # where the next piece of each stream begins


class Following:
    """Follows one job from the beginning of its first attempt, or of `attempt`, or from where it was left.

    `streams` are read side by side.
    """

    def __init__(
        self,
        broker: Broker,
        output: Output,
        crowd: Crowd,
        *,
        streams: tuple[Stream, ...] = STREAMS,
        attempt: int | None = None,
        after: Place | None = None,
    ) -> None:
        self._broker = broker
        self._output = output
        self._crowd = crowd
        self._streams = streams
        self._only = attempt is not None
        self._begin(attempt or (after.attempt if after else 1))
        self._offsets |= after.offsets if after else {}

    def _begin(self, number: int) -> None:
        self._number = number
        self._offsets: dict[Stream, int] = dict.fromkeys(self._streams, 0)
        self._open: set[Stream] = set(self._streams)

    async def follow(self, standing: JobStanding) -> AsyncGenerator[JobStanding | Piece]:
        """Pieces and states, beginning with the one given and ending with the last."""
        yield standing
        with self._crowd.joined():
            async with aclosing(self._follow(standing)) as followed:
                async for each in followed:
                    yield each

    async def _follow(self, standing: JobStanding) -> AsyncGenerator[JobStanding | Piece]:
        seen, since = self._broker.version, time.monotonic()
        while not self._broker.ended:
            async for piece in self._new(standing):
                since = time.monotonic()
                yield piece
            if self._open or not self._next(standing):
                if standing.ended and (not self._open or time.monotonic() - since > _PATIENCE_S):
                    return
                await self._rest_until_changed(seen)
            if self._broker.version != seen:
                seen = self._broker.version
                before, standing = standing, await self._now(standing.job.id)
                if standing.revision != before.revision:
                    since = time.monotonic()
                    yield standing

    async def _rest_until_changed(self, seen: int) -> None:
        pace_s = self._crowd.pace_s
        if self._crowd.dense:
            await asyncio.sleep(pace_s)
        else:
            await self._broker.changed(seen, pace_s)

    async def _now(self, job_id: str) -> JobStanding:
        return await self._crowd.ask((job_id, self._broker.version), partial(self._output.one, job_id))

    def _next(self, standing: JobStanding) -> bool:
        """Goes on to the next attempt if there is one to follow."""
        if self._only or self._number >= standing.job.attempts:
            return False
        self._begin(self._number + 1)
        return True

    async def _new(self, standing: JobStanding) -> AsyncGenerator[Piece]:
        """What was written since the last look."""
        if self._number > standing.job.attempts:
            if standing.ended:
                self._open.clear()
            return
        attempt = await self._output.attempt(standing, self._number)
        for stream in self._streams:
            async for piece in self._rest(attempt, stream):
                yield piece

    async def _rest(self, attempt: Attempt, stream: Stream) -> AsyncGenerator[Piece]:
        while stream in self._open:
            try:
                offset = self._offsets[stream]
                find = partial(self._output.piece, attempt, stream, offset, _PIECE)
                piece = await self._crowd.ask((attempt.id, attempt.state, stream, offset), find)
            except ExecutorError:
                # The pool may answer again; its problem is said where pools are listed.
                return
            self._offsets[stream] = piece.chunk.next_offset
            if piece.chunk.complete:
                self._open.discard(stream)
            if not piece.chunk.data:
                return
            yield piece
