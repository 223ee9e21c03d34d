"""Questions about jobs and arrays → what the store knows of them, at once or when something has happened."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from broker.model.errors import InvalidInput, UnknownName
from broker.model.jobs import Attempt, Job, JobState
from broker.model.money import ZERO, Money
from broker.model.query import ArraySummary, JobFilter, SpendFilter
from broker.model.usage import ACTUAL, Book
from broker.run.broker import Broker
from broker.run.service.answers import ArrayStanding, Cost, JobRecord, JobStanding, ListPage
from broker.run.service.owned import owned
from broker.run.service.settling import Settling

LONGEST_WAIT_S: Final = 300.0
_SHOWN_WITHIN_S: Final = 10.0  # how old the cost of a job that still runs may be when it is shown
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_REST_PER_LOOK: Final = 4  # a waiter looks for at most a fifth of the time, however much happens around its job
_LONGEST_REST_S: Final = 0.05
_ARRAYS_KEPT: Final = 1_000


class Jobs:
    """Reads jobs, waits for them and asks for their end."""

    def __init__(self, broker: Broker, settling: Settling) -> None:
        self._broker = broker
        self._store = broker.store
        self._settling = settling
        self._arrays: dict[str, Job] = {}  # one task of each that was asked about: of the rest, only counts change

    async def page(self, wanted: JobFilter, *, collapse: bool = False) -> ListPage:
        """One page, newest first; with `collapse` an array is one line. Raises `InvalidInput` for a bad cursor."""
        return await asyncio.to_thread(self._page, wanted, collapse)

    async def standing(self, job_id: str) -> JobStanding | ArrayStanding:
        """A job, or an array, as one line. Raises `UnknownName`."""
        return await asyncio.to_thread(self._standing, job_id)

    async def with_wait(self, standing: JobStanding) -> JobStanding:
        """The same, with why it waits while it is queued."""
        if standing.job.state is not JobState.QUEUED:
            return standing
        return replace(standing, waits_for=await asyncio.to_thread(self._store.waits_for, standing.job.id))

    async def show(self, job_id: str) -> JobRecord | ArrayStanding:
        """A job with its whole history, or an array with what it cost. Raises `UnknownName`."""
        standing = await self.standing(job_id)
        await self._settle(standing)
        if isinstance(standing, ArrayStanding):
            return await asyncio.to_thread(self._priced, standing)
        return await asyncio.to_thread(self._record, job_id)

    async def record(self, job_id: str) -> JobRecord:
        """A job with its whole history. Raises `UnknownName`, and `InvalidInput` for an array."""
        shown = await self.show(job_id)
        if isinstance(shown, ArrayStanding):
            raise an_array(shown)
        return shown

    async def wait(self, job_id: str, timeout_s: float, since: str | None = None) -> JobStanding | ArrayStanding:
        """The job or array as soon as it has ended, or, with `since`, is of another revision; or after a time.

        Raises `UnknownName`.
        """
        until = time.monotonic() + min(timeout_s, LONGEST_WAIT_S)
        while True:
            began, version = time.monotonic(), self._broker.version
            standing = await self.standing(job_id)
            if (
                standing.ended
                or self._broker.ended
                or time.monotonic() >= until
                or (since is not None and standing.revision != since)
            ):
                return standing
            await next_look(self._broker, version, began, until)

    async def cancel(self, job_id: str, only_of: str | None = None) -> tuple[int, JobStanding | ArrayStanding]:
        """Asks for the end of a job or of an array's tasks: how many were marked, and how it stands now.

        Those that have ended are left alone. Raises `UnknownName`, and `Forbidden` where it is not of `only_of`.
        """
        known(job_id)
        if only_of is not None:
            await asyncio.to_thread(owned, self._store, job_id, only_of)
        marked = await asyncio.to_thread(self._store.request_cancel, [job_id])
        self._broker.wake()
        return len(marked), await self.standing(job_id)

    def _page(self, wanted: JobFilter, collapse: bool) -> ListPage:
        found = self._store.jobs(wanted, collapse=collapse)
        singles = self._standings(found.jobs, found.last_attempts)
        items: list[JobStanding | ArrayStanding] = [*singles, *(_array(summary) for summary in found.arrays)]
        items.sort(key=_submitted_ns, reverse=True)
        return ListPage(items=tuple(items), next_cursor=found.next_cursor)

    def _standings(self, jobs: Sequence[Job], attempts: Mapping[str, Attempt]) -> list[JobStanding]:
        costs = self._store.job_costs([job.id for job in jobs])
        charged_to = self._watermarks(attempts.values())
        return [self._one(job, attempts.get(job.id), costs.get(job.id, (ZERO, 0)), charged_to) for job in jobs]

    def _one(
        self, job: Job, attempt: Attempt | None, cost: tuple[Money, int], charged_to: Mapping[str, int]
    ) -> JobStanding:
        complete = job.state.ended and (attempt is None or charged_to[attempt.pool] >= (attempt.ended_ns or 0))
        return JobStanding(
            job=job,
            attempt=attempt,
            cost=Cost(known=cost[0], unknown=cost[1], complete=complete),
            emulated=attempt is not None and self._emulated(attempt),
        )

    def _emulated(self, attempt: Attempt) -> bool:
        """Whether it holds GPUs that are logical; not of a pool that is not configured any more."""
        running = self._broker.pools.get(attempt.pool)
        return bool(attempt.resources.gpus and running and running.pool.emulated)

    def _watermarks(self, attempts: Iterable[Attempt]) -> dict[str, int]:
        return {pool: self._store.watermark(pool) for pool in {attempt.pool for attempt in attempts}}

    def _standing(self, job_id: str) -> JobStanding | ArrayStanding:
        known(job_id)
        if job_id in self._arrays:
            return self._array_standing(job_id)
        try:
            job = self._store.job(job_id, shown=True)
        except UnknownName:
            tasks = self._store.jobs(JobFilter(array_id=job_id, limit=1)).jobs
            if not tasks:
                raise
            if len(self._arrays) >= _ARRAYS_KEPT:
                self._arrays.clear()
            self._arrays[job_id] = tasks[0]
            return self._array_standing(job_id)
        attempts = {job.id: self._store.attempt(f"{job.id}-a{job.attempts}")} if job.attempts else {}
        return self._standings([job], attempts)[0]

    def _array_standing(self, array_id: str) -> ArrayStanding:
        task, counts = self._arrays[array_id], self._store.counts(array_id)
        return ArrayStanding(
            array_id=array_id,
            name=task.spec.name,
            user=task.user,
            project=task.spec.project,
            submitted_ns=task.submitted_ns,
            counts={state: number for state, number in counts.items() if number},
        )

    async def _settle(self, standing: JobStanding | ArrayStanding) -> None:
        """Charges what ran, so that the cost shown is that of now, or of the end."""
        if isinstance(standing, ArrayStanding):
            await self._settling.within(_SHOWN_WITHIN_S if not standing.ended else 1.0)
        elif not standing.ended:
            await self._settling.within(_SHOWN_WITHIN_S)
        elif not standing.cost.complete and standing.attempt is not None:
            await self._settling.up_to(standing.attempt.ended_ns or 0)

    def _priced(self, standing: ArrayStanding) -> ArrayStanding:
        rows = self._store.spend(SpendFilter(job_id=standing.array_id, by=()))
        known = Money.total(row.total for row in rows)
        cost = Cost(known=known, unknown=sum(row.unknown for row in rows), complete=standing.ended)
        return replace(standing, cost=cost)

    def _record(self, job_id: str) -> JobRecord:
        recorded = self._store.recorded(job_id, shown=True)
        attempts = {job_id: recorded.attempts[-1]} if recorded.attempts else {}
        charges = self._store.charges(job_id=job_id)
        return JobRecord(
            standing=self._standings([recorded.job], attempts)[0],
            attempts=recorded.attempts,
            placements=recorded.placements,
            changes=self._store.changes(job_id),
            charges=tuple(one for one in charges if one.book in ACTUAL),
            estimates=tuple(one for one in charges if one.book is Book.ESTIMATED),
            document=recorded.document,
            emulated=frozenset(attempt.id for attempt in recorded.attempts if self._emulated(attempt)),
        )


async def next_look(broker: Broker, version: int, began: float, until: float) -> None:
    """Returns when something has happened since `version`, or it is late; after a look from `began` to now, a rest."""
    now = time.monotonic()
    rested = now + min(_REST_PER_LOOK * (now - began), _LONGEST_REST_S)
    await broker.changed(version, until - now)
    await asyncio.sleep(max(rested - time.monotonic(), 0.0))


def known(job_id: str) -> None:
    """Raises `UnknownName` for what can't be an id: no store need be asked, and none is given strange text."""
    if not _ID.fullmatch(job_id):
        raise UnknownName(f"there is no job {job_id[:100]!r}: an id has only a-z, 0-9, '.', '_' and '-'")


def an_array(standing: ArrayStanding) -> InvalidInput:
    """The error for an array where one job is meant."""
    array = standing.array_id
    return InvalidInput(f"{array!r} is an array of {standing.tasks} tasks: name one of them, {array}.0 for instance")


def _array(summary: ArraySummary) -> ArrayStanding:
    standing = ArrayStanding(
        array_id=summary.array_id,
        name=summary.name,
        user=summary.user,
        project=summary.project,
        submitted_ns=summary.submitted_ns,
        counts=summary.counts,
    )
    complete = standing.ended and summary.settled
    return replace(standing, cost=Cost(known=summary.known, unknown=summary.unpriced, complete=complete))


def _submitted_ns(item: JobStanding | ArrayStanding) -> int:
    return item.job.submitted_ns if isinstance(item, JobStanding) else item.submitted_ns
