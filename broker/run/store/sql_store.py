"""The Store in an SQL database: every method is one transaction over the functions beside this file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from broker.model.bills import Correction, LedgerLine
from broker.model.budgets import Asked, Budget, Reservation, Standing
from broker.model.errors import StoreError
from broker.model.foresight import Decision, Outlook
from broker.model.jobs import Attempt, Job, JobState, StateChange
from broker.model.money import Money
from broker.model.placement import Placement
from broker.model.projects import Holding, Project, Waiting
from broker.model.query import JobFilter, JobPage, Recorded, SpendFilter
from broker.model.runs import Run
from broker.model.submissions import Entry
from broker.model.tokens import Token
from broker.model.usage import BilledLine, Charge, SpendRow, UnitUsage, UsageReport
from broker.run.store import (
    billing,
    budgeting,
    claiming,
    correcting,
    foresight,
    listing,
    reading,
    recording,
    settlement,
    spending,
    submission,
)
from broker.run.store import tokens as stored_tokens
from broker.run.store.blobs import StoredBlobs
from broker.run.store.engine import connect
from broker.run.store.leasing import StoredLeases
from broker.run.store.notices import listen
from broker.run.store.projects import StoredProjects
from broker.run.store.scheduling import StoredSchedules
from broker.run.store.sealing import StoredSecrets
from broker.run.store.specs import Specs
from broker.run.store.tables import jobs
from broker.run.store.volume_keeping import StoredVolumes

T = TypeVar("T")


def open_store(url: str) -> SqlStore:
    """The store at a URL, its tables made or brought up to date.

    Raises StoreError: not reachable, not a store, or written by a newer broker.
    """
    return SqlStore(connect(url))


def _twice(add: Callable[[], T]) -> T:
    """Once more where another broker has stored the same id since the transaction began: now it is found."""
    try:
        return add()
    except StoreError as error:
        if not isinstance(error.__cause__, IntegrityError):
            raise
        return add()


class SqlStore(StoredBlobs, StoredLeases, StoredSchedules, StoredSecrets, StoredVolumes, StoredProjects):
    """`broker.ports.Store` on SQLite or PostgreSQL. Its promises are written there."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._specs = Specs()
        if self.shared:
            event.listen(engine, "connect", lambda *_: self._specs.forget())

    def listen(self) -> AsyncGenerator[str]:
        """What brokers and API workers tell, as it comes, beginning with an empty message. Raises StoreAway."""
        return listen(self._engine.url)

    def add_jobs(
        self,
        jobs: Sequence[Job],
        document: str,
        document_hash: str,
        reserving: Reservation | None = None,
        room: Sequence[Waiting] = (),
        note: str = "",
    ) -> tuple[Job, ...]:
        """Stores the jobs of one submission; a repeat returns them as they are now. Raises Conflict, OverBudget."""
        entry = Entry(
            jobs=tuple(jobs),
            document=document,
            document_hash=document_hash,
            reserving=reserving,
            room=tuple(room),
            note=note,
        )
        return self.add_batch([entry])[0]

    def add_batch(self, entries: Sequence[Entry]) -> tuple[tuple[Job, ...], ...]:
        """Stores several submissions, all or none, as `add_jobs` does one."""
        acts = tuple({entry.act: None for entry in entries if entry.act is not None})

        def add() -> tuple[tuple[Job, ...], ...]:
            with self._write(acts) as connection:
                return submission.add(connection, self._specs, entries, last=True)

        return _twice(add)

    def begin(
        self, entry: Entry, *, job: Job, attempt: Attempt, change: StateChange, placement: Placement
    ) -> tuple[Job, ...]:
        """Stores a submission of one job as what that becomes, with its first attempt, all or none."""
        begun = replace(entry, jobs=(job,))

        def add() -> tuple[Job, ...]:
            with self._fenced({attempt.pool}) as connection:
                (stored,) = submission.add(connection, self._specs, [begun])
                if stored is not begun.jobs:
                    return stored
                recording.begin(connection, entry.jobs[0], job, attempt, change, placement)
                return entry.jobs

        return _twice(add)

    def job(self, job_id: str, *, shown: bool = False) -> Job:
        """One job. Raises UnknownName with the nearest ids, and Unreadable unless it is only shown."""
        with self._read() as connection:
            return reading.job(connection, self._specs, job_id, shown=shown)

    def recorded(self, job_id: str, *, shown: bool = False) -> Recorded:
        """One job with its attempts, placements and document. Raises UnknownName, Unreadable unless only shown."""
        with self._read() as connection:
            return reading.recorded(connection, self._specs, job_id, shown=shown)

    def waits_for(self, job_id: str) -> str:
        """Why a job was not placed when that was last decided; empty where it was, or is yet to be decided."""
        with self._read() as connection:
            return reading.waits_for(connection, job_id)

    def jobs(self, wanted: JobFilter, *, collapse: bool = False) -> JobPage:
        """One page, newest first; with `collapse` the tasks of an array are one row. Raises InvalidInput (cursor)."""
        with self._read() as connection:
            return listing.page(connection, self._specs, wanted, collapse=collapse)

    def counts(self, array_id: str | None = None) -> Mapping[JobState, int]:
        """How many jobs are in each state, of one array or of all."""
        with self._read() as connection:
            return reading.counts(connection, array_id)

    def placeable(self, now_ns: int, limit: int, skip: frozenset[str] = frozenset()) -> tuple[Job, ...]:
        """Queued jobs whose time has come: largest priority first, then oldest."""
        with self._read() as connection:
            return reading.placeable(connection, self._specs, now_ns, limit, skip)

    def lane(
        self, project: str, now_ns: int, limit: int, skip: frozenset[str], without: frozenset[str]
    ) -> tuple[Job, ...]:
        """The same of one project, without the jobs of some users."""
        of = [jobs.c.project == project]
        if without:
            of.append(jobs.c.user.not_in(sorted(without)))
        with self._read() as connection:
            return reading.placeable(connection, self._specs, now_ns, limit, skip, *of)

    def holdings(self) -> tuple[Holding, ...]:
        """What attempts that have not ended hold, by project, user and GPU model."""
        with self._read() as connection:
            return reading.holdings(connection, self._specs)

    def next_due_ns(self, now_ns: int) -> int | None:
        """When the next retry backoff ends, if later than `now_ns`."""
        with self._read() as connection:
            return reading.next_due_ns(connection, now_ns)

    def request_cancel(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        """Marks jobs and tasks of arrays that have not ended. Raises UnknownName, marking none."""
        with self._write() as connection:
            return recording.request_cancel(connection, self._specs, job_ids)

    def cancel_requested(self, limit: int) -> tuple[Job, ...]:
        """Marked jobs that have not ended, oldest first."""
        with self._read() as connection:
            return reading.cancel_requested(connection, self._specs, limit)

    def record(
        self,
        *,
        jobs: Sequence[Job] = (),
        attempts: Sequence[Attempt] = (),
        changes: Sequence[StateChange] = (),
        placements: Sequence[Placement] = (),
    ) -> None:
        """Writes new values, appends history. Raises Conflict (illegal move) and UnknownName, changing nothing."""
        news = recording.News(jobs=jobs, attempts=attempts, changes=changes, placements=placements)
        with self._fenced({attempt.pool for attempt in attempts}) as connection:
            recording.record(connection, news)

    def decide(
        self,
        *,
        jobs: Sequence[Job] = (),
        attempts: Sequence[Attempt] = (),
        changes: Sequence[StateChange] = (),
        placements: Sequence[Placement] = (),
        within: Reservation | None = None,
        quotas: Sequence[Project] = (),
    ) -> frozenset[str]:
        """As record, of those jobs that are still queued and that no other broker decides about now: which these are.

        What quotas have no room for stays queued. Raises OverBudget, changing nothing, when what begins is more than
        budgets have left.
        """
        news = recording.News(jobs=jobs, attempts=attempts, changes=changes, placements=placements)
        with self._fenced({attempt.pool for attempt in attempts}) as connection:
            claimed = claiming.claim(connection, self._specs, news, within, quotas)
            recording.record(connection, claimed)
        return frozenset({job.id for job in claimed.jobs} | {each.job_id for each in claimed.placements})

    def open_attempts(self, pool: str | None = None) -> tuple[Attempt, ...]:
        """Attempts that have not ended, oldest first."""
        with self._read() as connection:
            return reading.open_attempts(connection, pool)

    def attempt(self, attempt_id: str) -> Attempt:
        """One attempt. Raises UnknownName."""
        with self._read() as connection:
            return reading.attempt(connection, attempt_id)

    def runtimes(self, user: str, name: str, limit: int = 50) -> tuple[float, ...]:
        """Seconds that the attempts of the last succeeded jobs ran, newest first."""
        with self._read() as connection:
            return reading.runtimes(connection, user, name, limit)

    def runs(self, since_ns: int) -> tuple[Run, ...]:
        """Attempts that had not ended before `since_ns`, once for each node, by the time they began."""
        with self._read() as connection:
            return reading.runs(connection, self._specs, since_ns)

    def first_run_ns(self, since_ns: int) -> int | None:
        """When the first attempt of all began; None where one had ended before a time already, or there is none."""
        with self._read() as connection:
            return reading.first_run_ns(connection, since_ns)

    def cold_starts(self, pool: str, limit: int = 50) -> tuple[float, ...]:
        """Seconds that the last units of a pool took to be ready, newest first."""
        with self._read() as connection:
            return settlement.cold_starts(connection, pool, limit)

    def keep_outlook(self, outlook: Outlook) -> None:
        """Appends a forecast."""
        with self._fenced() as connection:
            foresight.keep_outlook(connection, outlook)

    def outlooks(self, pool: str, since_ns: int, until_ns: int) -> tuple[Outlook, ...]:
        """Forecasts for a pool made in a time, oldest first."""
        with self._read() as connection:
            return foresight.find_outlooks(connection, pool, since_ns, until_ns)

    def last_outlook(self, pool: str) -> Outlook | None:
        """The newest forecast for a pool."""
        with self._read() as connection:
            return foresight.last_outlook(connection, pool)

    def keep_decisions(self, decisions: Sequence[Decision]) -> None:
        """Appends decisions about capacity."""
        with self._fenced() as connection:
            foresight.keep_decisions(connection, decisions)

    def decisions(self, since_ns: int, until_ns: int, pool: str | None = None) -> tuple[Decision, ...]:
        """Decisions made in a time, oldest first."""
        with self._read() as connection:
            return foresight.find_decisions(connection, since_ns, until_ns, pool)

    def keep_token(self, token: Token, secret_hash: str) -> None:
        """Stores a new token."""
        with self._write() as connection:
            stored_tokens.keep(connection, token, secret_hash)

    def token(self, token_id: str) -> tuple[Token, str] | None:
        """A token and the hash of its secret."""
        with self._read() as connection:
            return stored_tokens.find(connection, token_id)

    def tokens(self) -> tuple[Token, ...]:
        """All that were ever made, newest first."""
        with self._read() as connection:
            return stored_tokens.every(connection)

    def revoke_token(self, token_id: str, at_ns: int) -> Token:
        """Ends a token. Raises UnknownName."""
        with self._write() as connection:
            return stored_tokens.revoke(connection, token_id, at_ns)

    def changes(self, job_id: str) -> tuple[StateChange, ...]:
        """The history of a job and its attempts, oldest first. Raises UnknownName."""
        with self._read() as connection:
            return reading.history(connection, job_id)

    def watermark(self, pool: str) -> int:
        """Up to when usage of a pool has been settled; 0 at first."""
        with self._read() as connection:
            return settlement.watermark(connection, pool)

    def open_units(self, pool: str) -> tuple[UnitUsage, ...]:
        """Units that had not ended at the last settlement, each with the attempt that held it last."""
        with self._read() as connection:
            return settlement.open_units(connection, pool)

    def settle(self, pool: str, report: UsageReport, charges: Sequence[Charge]) -> None:
        """Stores usage and charges and moves the watermark. Raises Conflict for a new charge of settled time."""
        with self._fenced({pool}) as connection:
            settlement.settle(connection, pool, report, charges)

    def spend(self, wanted: SpendFilter) -> tuple[SpendRow, ...]:
        """Metered charges, grouped and summed exactly. Raises InvalidInput for a column that does not exist."""
        with self._read() as connection:
            return spending.spend(connection, wanted)

    def billed(self, wanted: SpendFilter) -> tuple[BilledLine, ...]:
        """Metered charges by day, unit, job, kind and price; `wanted.by` does not count."""
        with self._read() as connection:
            return billing.billed(connection, wanted)

    def charges(
        self,
        *,
        job_id: str | None = None,
        pool: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> tuple[Charge, ...]:
        """Charges of a job or array, of a pool, or of both, that begin in a time; oldest first."""
        with self._read() as connection:
            return settlement.find_charges(connection, job_id, pool, since_ns, until_ns)

    def ledger(self, since_ns: int, until_ns: int, pool: str | None = None) -> tuple[LedgerLine, ...]:
        """Metered charges and corrections that begin in a time, summed by day, unit, kind, attempt and price."""
        with self._read() as connection:
            return correcting.ledger(connection, since_ns, until_ns, pool)

    def correct(self, corrections: Sequence[Correction]) -> int:
        """Appends corrections, and says how many were new. Raises Conflict when another bill was recorded."""
        with self._write() as connection:
            return correcting.correct(connection, corrections)

    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that are stored, by name."""
        with self._read() as connection:
            return budgeting.every(connection)

    def keep_budget(self, budget: Budget) -> None:
        """Stores a budget, or replaces the one of its name."""
        with self._write() as connection:
            budgeting.keep(connection, budget)

    def drop_budget(self, name: str) -> None:
        """Removes a budget. Raises UnknownName."""
        with self._write() as connection:
            budgeting.drop(connection, name)

    def standings(self, wanted: Sequence[Asked], now_ns: int, tails: Sequence[str] = ()) -> tuple[Standing, ...]:
        """What has become of budgets in their periods; `tails` are the serverless pools."""
        with self._read() as connection:
            return budgeting.standings(connection, wanted, now_ns, tails)

    def running_in(self, budget: Budget) -> tuple[str, ...]:
        """Jobs of a budget that have an open attempt, and whose end nobody asked for."""
        with self._read() as connection:
            return budgeting.running(connection, budget)

    def job_costs(self, job_ids: Sequence[str]) -> Mapping[str, tuple[Money, int]]:
        """For each job: what it is known to have cost, and how many charges lack a price."""
        with self._read() as connection:
            return settlement.job_costs(connection, job_ids)

    def close(self) -> None:
        """Gives back connections."""
        self.unlock()
        self._engine.dispose()
