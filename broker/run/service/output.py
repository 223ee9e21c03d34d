"""What a job writes and returns → pieces, as they are asked for."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

from broker.model.errors import Conflict, ExecutorError, UnknownName
from broker.model.jobs import Attempt, Job, JobState
from broker.ports import LogChunk, Stream
from broker.run.broker import Broker
from broker.run.service.answers import ArrayStanding, JobStanding
from broker.run.service.jobs import Jobs, an_array

ENDPOINT_WITHIN: Final = 1 << 16  # bytes of the output
_ENDPOINT: Final = re.compile(rb"^endpoint: (https?://[!-~]{1,500})\r?$", re.MULTILINE)
STREAMS: Final[tuple[Stream, Stream]] = ("stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of one stream of one attempt."""

    attempt: int  # its number; 0: the job has none yet
    stream: Stream
    chunk: LogChunk


class Output:
    """Reads output and results."""

    def __init__(self, broker: Broker, jobs: Jobs) -> None:
        self._broker = broker
        self._jobs = jobs

    async def one(self, job_id: str) -> JobStanding:
        """The job. Raises `UnknownName`, and `InvalidInput` for an array: its tasks have output, it has none."""
        standing = await self._jobs.standing(job_id)
        if isinstance(standing, ArrayStanding):
            raise an_array(standing)
        return standing

    async def told(self, job_id: str) -> JobStanding:
        """As `one`, with why it waits while it is queued."""
        return await self._jobs.with_wait(await self.one(job_id))

    async def logs(self, job_id: str, stream: Stream, *, attempt: int | None, offset: int, limit: int) -> Piece:
        """At most `limit` bytes of a stream of an attempt, the last where none is named.

        Raises `UnknownName` for the job or the attempt, `InvalidInput` for an array, and what the executor raises.
        """
        standing = await self.one(job_id)
        made = standing.job.attempts
        if attempt is not None and not 1 <= attempt <= made:
            raise UnknownName(f"{job_id} has no attempt {attempt}: it has {f'1 to {made}' if made else 'none yet'}")
        if not made:
            chunk = LogChunk(data=b"", next_offset=offset, complete=standing.ended)
            return Piece(attempt=0, stream=stream, chunk=chunk)
        wanted = await self.attempt(standing, attempt or made)
        if self._broker.archive.expired(wanted.id):
            kept = f"{self._broker.logs_kept_s / 86_400:g} days (logs.keep of the configuration)"
            raise UnknownName(f"the output of {wanted.id} is gone: it is kept for {kept} after the end")
        return await self.piece(wanted, stream, offset, limit)

    async def attempt(self, standing: JobStanding, number: int) -> Attempt:
        """One of the attempts that a job has made."""
        if standing.attempt is not None and standing.attempt.number == number:
            return standing.attempt
        return await asyncio.to_thread(self._broker.store.attempt, f"{standing.job.id}-a{number}")

    async def piece(self, attempt: Attempt, stream: Stream, offset: int, limit: int) -> Piece:
        """At most `limit` bytes of a stream of an attempt; none of one that never started. Raises `ExecutorError`."""
        try:
            chunk = await self._broker.records.logs(attempt, stream, offset, limit)
        except KeyError:
            chunk = LogChunk(data=b"", next_offset=offset, complete=attempt.state.ended)
        return Piece(attempt=attempt.number, stream=stream, chunk=chunk)

    async def endpoint(self, job: Job, attempt: Attempt | None) -> str | None:
        """Where a running job says that it answers, on a line `endpoint: URL` of the beginning of its output."""
        if job.state is not JobState.RUNNING or attempt is None:
            return None
        try:
            found = await self.piece(attempt, "stdout", 0, ENDPOINT_WITHIN)
        except ExecutorError:
            return None
        said = _ENDPOINT.findall(found.chunk.data)
        return said[-1].decode() if said else None

    async def result(self, job_id: str) -> bytes:
        """What a function returned or raised, as `Executor.result` has it.

        Raises `UnknownName` for the job, or when it ended without one, and `Conflict` while it has not ended.
        """
        standing = await self.one(job_id)
        job = standing.job
        if not job.state.ended:
            raise Conflict(f"{job_id} is {job.state}: it has no result before it has ended")
        found = await self._broker.records.result(standing.attempt) if standing.attempt else None
        if found is None:
            why = f"it ended {job.state}: {job.reason}" if job.spec.function else "it is a command, not a function"
            raise UnknownName(f"{job_id} has no result: {why}")
        return found
