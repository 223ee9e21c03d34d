"""A job → all that it writes and each state that it is seen in, as it happens, until its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
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
        since = time.monotonic()
        while not self._broker.ended:
            async for piece in self._new(standing):
                since = time.monotonic()
                yield piece
            if not self._open and self._next(standing):
                continue
            if standing.ended and (not self._open or time.monotonic() - since > _PATIENCE_S):
                return
            before, standing = standing, await self._news(standing)
            if standing.revision != before.revision:
                since = time.monotonic()
                yield standing

    async def _news(self, known: JobStanding) -> JobStanding:
        """The job, once it stands otherwise or has written more: one look for all that have seen as much of it."""
        offsets = {stream: self._offsets[stream] for stream in self._streams if stream in self._open}
        place = (known.job.id, known.revision, self._number, *offsets.items())
        return await self._crowd.news(place, partial(self._watch, known, self._number, offsets))

    async def _watch(self, known: JobStanding, number: int, offsets: Mapping[Stream, int]) -> JobStanding:
        seen, standing = 0, known
        while not self._broker.ended:
            if self._broker.version != seen:
                seen = self._broker.version
                standing = await self._now(known.job.id)
            if standing.revision != known.revision or await self._written(standing, number, offsets):
                break
            await self._rest_until_changed(seen)
            if known.ended:  # only the rest of its output is waited for, and not for ever
                break
        return standing

    async def _written(self, standing: JobStanding, number: int, offsets: Mapping[Stream, int]) -> bool:
        """Whether an attempt has written more than this, or will write no more."""
        if number > standing.job.attempts:
            return False
        attempt = await self._output.attempt(standing, number)
        for stream, offset in offsets.items():
            with suppress(ExecutorError):
                chunk = (await self._piece(attempt, stream, offset)).chunk
                if chunk.data or chunk.complete:
                    return True
        return False

    async def _rest_until_changed(self, seen: int) -> None:
        if self._crowd.dense:
            await asyncio.sleep(self._crowd.pace_s)
        else:
            await self._broker.changed(seen, self._crowd.pace_s)

    async def _now(self, job_id: str) -> JobStanding:
        return await self._crowd.ask((job_id, self._broker.version), partial(self._output.told, job_id))

    async def _piece(self, attempt: Attempt, stream: Stream, offset: int) -> Piece:
        find = partial(self._output.piece, attempt, stream, offset, _PIECE)
        return await self._crowd.ask((attempt.id, attempt.state, stream, offset), find)

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
                piece = await self._piece(attempt, stream, self._offsets[stream])
            except ExecutorError:
                # The pool may answer again; its problem is said where pools are listed.
                return
            self._offsets[stream] = piece.chunk.next_offset
            if piece.chunk.complete:
                self._open.discard(stream)
            if piece.chunk.data:
                yield piece
            if len(piece.chunk.data) < _PIECE:
                return
            await self._crowd.turns.turn()
