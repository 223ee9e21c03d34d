"""A job → all that it writes and each state that it is seen in, as it happens, until its end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

from broker.model.errors import ExecutorError
from broker.model.jobs import Attempt
from broker.ports import Stream
from broker.run.broker import Broker
from broker.run.service.answers import JobStanding
from broker.run.service.output import STREAMS, Output, Piece

_PIECE: Final = 1 << 18
_LOOK_EVERY_S: Final = 0.1  # an executor has no way to say that a job has written something
_PATIENCE_S: Final = 10.0  # how long the rest of the output of an ended job is waited for


class Following:
    """Follows one job from the beginning of its first attempt, or of `attempt`; `streams` are read side by side."""

    def __init__(
        self, broker: Broker, output: Output, *, streams: tuple[Stream, ...] = STREAMS, attempt: int | None = None
    ) -> None:
        self._broker = broker
        self._output = output
        self._streams = streams
        self._only = attempt is not None
        self._begin(attempt or 1)

    def _begin(self, number: int) -> None:
        self._number = number
        self._offsets: dict[Stream, int] = dict.fromkeys(self._streams, 0)
        self._open: set[Stream] = set(self._streams)

    async def follow(self, standing: JobStanding) -> AsyncIterator[JobStanding | Piece]:
        """Pieces and states, beginning with the one given and ending with the last."""
        yield standing
        seen, since = self._broker.version, time.monotonic()
        while not self._broker.ended:
            async for piece in self._new(standing):
                since = time.monotonic()
                yield piece
            if self._open or not self._next(standing):
                if standing.ended and (not self._open or time.monotonic() - since > _PATIENCE_S):
                    return
                await self._broker.changed(seen, _LOOK_EVERY_S)
            if self._broker.version != seen:
                seen = self._broker.version
                before, standing = standing, await self._output.one(standing.job.id)
                if standing.revision != before.revision:
                    since = time.monotonic()
                    yield standing

    def _next(self, standing: JobStanding) -> bool:
        """Goes on to the next attempt if there is one to follow."""
        if self._only or self._number >= standing.job.attempts:
            return False
        self._begin(self._number + 1)
        return True

    async def _new(self, standing: JobStanding) -> AsyncIterator[Piece]:
        """What was written since the last look."""
        if self._number > standing.job.attempts:
            if standing.ended:
                self._open.clear()
            return
        attempt = await self._output.attempt(standing, self._number)
        for stream in self._streams:
            async for piece in self._rest(attempt, stream):
                yield piece

    async def _rest(self, attempt: Attempt, stream: Stream) -> AsyncIterator[Piece]:
        while stream in self._open:
            try:
                piece = await self._output.piece(attempt, stream, self._offsets[stream], _PIECE)
            except ExecutorError:
                # The pool may answer again; its problem is said where pools are listed.
                return
            self._offsets[stream] = piece.chunk.next_offset
            if piece.chunk.complete:
                self._open.discard(stream)
            if not piece.chunk.data:
                return
            yield piece
