"""Calls whose ends somebody waits for → what those that have ended returned or raised, many in one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from broker.model.errors import InvalidInput, UnknownName
from broker.model.jobs import Attempt, Job, JobState
from broker.model.query import JobFilter
from broker.run.attempts.ends import Ends
from broker.run.broker import Broker
from broker.run.service.jobs import LONGEST_WAIT_S, known, next_look

MOST_BYTES: Final = 16 << 20  # of one answer; what is larger on its own is asked for on its own
MOST_CALLS: Final = 1_000
_TOGETHER_S: Final = 0.02  # ends of tasks are collected so long, so that many share an answer
_LOOK_EVERY_S: Final = 10.0  # whoever is not woken looks all the same
_ENDED_EVERY_S: Final = 1.0  # how soon it is seen that the broker ends
_ENDED: Final = frozenset(state for state in JobState if state.ended)
Wanted = Mapping[str, Collection[int] | None]  # a job: None; an array: the indexes of those tasks that are waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one call."""

    job: Job
    data: bytes | None  # as `Executor.result` has it; None: there is none, or it is too large to be here
    apart: bool = False  # it is too large to be here


class Results:
    """Reads results."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._ends = Ends(broker.events)

    async def of(self, wanted: Wanted, timeout_s: float) -> list[Result]:
        """Those that have ended, as soon as there are any, or none after a time; perhaps not all at once.

        Raises `UnknownName`, and `ExecutorError` where a pool has a result that it does not give now.
        """
        for job_id in wanted:
            known(job_id)
        until = time.monotonic() + min(timeout_s, LONGEST_WAIT_S)
        with self._ends.awaited(wanted) as woken:
            while True:
                woken.clear()
                began, version = time.monotonic(), self._broker.version
                ended = self._seen(wanted) or await asyncio.to_thread(self._ended, wanted)
                if ended or self._broker.ended or time.monotonic() >= until:
                    return await self._read(ended)
                if not self._broker.membership.alone:
                    await next_look(self._broker, version, began, until)
                else:
                    await self._woken(woken, until)
                    if any(wanted.values()):
                        await asyncio.sleep(min(time.monotonic() - began, _TOGETHER_S))

    async def of_one(self, job_id: str, timeout_s: float) -> list[Result]:
        """The same of one job that was stored here just now."""
        until = time.monotonic() + timeout_s
        with self._ends.awaited([job_id]) as woken:
            if self._ends.seen(job_id) is None and self._broker.membership.alone:
                await self._woken(woken, until)
        left_s = until - time.monotonic()
        return await self._read(self._seen({job_id: None})) or await self.of({job_id: None}, max(left_s, 0.0))

    def _seen(self, wanted: Wanted) -> list[tuple[Job, Attempt | None]]:
        """Those of which it was heard lately that they have ended."""
        names = [
            name
            for job_id, indexes in wanted.items()
            for name in ([job_id] if indexes is None else [f"{job_id}.{index}" for index in indexes])
        ]
        return [found for name in names if (found := self._ends.seen(name)) is not None][:MOST_CALLS]

    async def _woken(self, woken: asyncio.Event, until: float) -> None:
        """Returns when an end was recorded, it is late, or nothing more will happen."""
        late = min(until, time.monotonic() + _LOOK_EVERY_S)
        while not self._broker.ended and (left_s := late - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _ENDED_EVERY_S)):
                    await woken.wait()
                    return

    def _ended(self, wanted: Wanted) -> list[tuple[Job, Attempt | None]]:
        found: list[tuple[Job, Attempt | None]] = []
        for job_id, indexes in wanted.items():
            found += self._one(job_id) if indexes is None else self._tasks(job_id, indexes)
            if len(found) >= MOST_CALLS:
                break
        return found[:MOST_CALLS]

    def _one(self, job_id: str) -> list[tuple[Job, Attempt | None]]:
        try:
            job = self._broker.store.job(job_id)
        except UnknownName:
            if not sum(self._broker.store.counts(job_id).values()):
                raise
            raise InvalidInput(f"{job_id!r} is an array: its tasks have results, as {job_id}:0-9 names them") from None
        if not job.state.ended:
            return []
        return [(job, self._broker.store.attempt(f"{job.id}-a{job.attempts}") if job.attempts else None)]

    def _tasks(self, array_id: str, indexes: Collection[int]) -> list[tuple[Job, Attempt | None]]:
        found: list[tuple[Job, Attempt | None]] = []
        cursor: str | None = None
        while True:
            page = self._broker.store.jobs(JobFilter(array_id=array_id, states=_ENDED, limit=1_000, cursor=cursor))
            found += [(job, page.last_attempts.get(job.id)) for job in page.jobs if job.array_index in indexes]
            if (cursor := page.next_cursor) is None:
                break
        if not found and not sum(self._broker.store.counts(array_id).values()):
            raise UnknownName(f"there is no array {array_id!r}")
        return found

    async def _read(self, ended: Sequence[tuple[Job, Attempt | None]]) -> list[Result]:
        found: list[Result] = []
        room = MOST_BYTES
        for job, attempt in ended:
            data = await self._data(attempt)
            size = len(data or b"")
            if size > MOST_BYTES:
                found.append(Result(job=job, data=None, apart=True))
                continue
            if size > room:
                break
            found.append(Result(job=job, data=data))
            room -= size
        return found

    async def _data(self, attempt: Attempt | None) -> bytes | None:
        if attempt is None:
            return None
        try:
            return await self._broker.records.result(attempt)
        except KeyError:
            return None
