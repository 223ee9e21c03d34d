"""What the broker needs from others: small protocols with their promises.

Executors and price sources are plugins found by entry points; `broker.testing` has the contract suites they must pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from broker.model.bills import Correction, LedgerLine
from broker.model.budgets import Asked, Budget, Reservation, Standing
from broker.model.jobs import Attempt, AttemptReport, Job, JobState, LaunchRequest, StateChange
from broker.model.money import Money
from broker.model.offers import Offer
from broker.model.placement import Placement
from broker.model.pools import Capability, Capacity, KeepWarm, Pool
from broker.model.projects import Waiting
from broker.model.query import JobFilter, JobPage, Recorded, SpendFilter
from broker.model.submissions import Entry
from broker.model.usage import BilledLine, Charge, SpendRow, UnitUsage, UsageReport
from broker.node_group import NodeGroup as NodeGroup
from broker.secret_store import SecretSource as SecretSource
from broker.store_parts import StoreParts

Stream = Literal["stdout", "stderr"]


class Clock(Protocol):
    """Time, as an argument to everything that needs it."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch. Never less than an earlier answer, also when the wall clock jumps back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What changed in a pool."""

    version: int  # pass it to the next poll
    reports: tuple[AttemptReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A piece of one output stream, as bytes: what a job writes need not be text."""

    data: bytes
    next_offset: int  # where the next piece begins
    complete: bool  # True: the stream has ended and this is its last piece


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """What an executor is given at construction."""

    pool: Pool  # its configuration; `pool.options` are its own settings
    state_dir: Path  # a folder of its own that outlives the process, mode 700
    clock: Clock
    max_stream_bytes: int = 10 * 10**9  # of one stream of one attempt; what is beyond is dropped, and said at its end
    volumes: str = ""  # where its volumes are: `pool.volumes`, on this machine the folder that has them
    nodes: NodeGroup | None = None  # who makes the pool's machines; None: nobody that the broker knows
    begins: bool = True  # False: it is opened only to end what an earlier one left, and makes nothing that is not there


class Executor(Protocol):
    """Runs attempts in one pool.

    Construction (`Plugin(context)`) is cheap and raises `Misconfigured` for wrong options. All methods are safe to call
    at the same time. Every method may raise `Unreachable` (the caller tries again) and `Misconfigured` (a person must
    act); nothing else escapes, except what is named below. Attempts outlive the process that launched them where the
    runtime allows it: a new executor on the same `state_dir` finds them again.
    """

    capabilities: ClassVar[frozenset[Capability]]

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this plugin can't work on this machine and what to do about it; None when it can. Cheap."""
        ...

    async def open(self) -> None:
        """Connects, or starts what must run (a local cluster, a pool process); finds what an earlier one left."""
        ...

    async def close(self, *, stop: bool) -> None:
        """Disconnects. With `stop`, ends everything it started: attempts, nodes, containers, its own processes.

        Without it, everything goes on and a later `open` on the same `state_dir` finds it.
        """
        ...

    async def launch(self, request: LaunchRequest) -> None:
        """Accepts an attempt and returns without waiting for it to run.

        Idempotent by `attempt_id`: a repeat finds the first launch, even after it ended or this process was restarted,
        and starts nothing. Raises `NoCapacity` (nothing was started; try elsewhere), `Rejected` (can never run here).
        With `in_line`, where there is no room and an attempt with the same resources and environment runs, it may be
        accepted all the same, as many as `Capacity.line` says: it holds nothing until one of those ends, takes that
        place at once, and is reported `REFUSED` when it has waited in vain.
        A command that can't be started, or an environment that can't be built, is no error of launch: it is reported
        as `FAILED` with the reason.
        """
        ...

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """Reports of attempts that changed after version `since` (0: all that are known and not forgotten).

        When there are none, waits up to `wait_s` seconds for one. A state reported never goes backwards. An attempt
        that was launched and whose process, node or runner vanished is reported `INTERRUPTED`, never left out. Versions
        begin again when an executor restarts: a `since` larger than the current version means 0.
        """
        ...

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """At most `limit` bytes of a stream from `offset`; empty and not complete when nothing new is there yet.

        While an attempt runs, what it wrote appears within a second. Raises KeyError for an attempt not known here.
        """
        ...

    async def result(self, attempt_id: str) -> bytes | None:
        """For a function that returned or raised: cloudpickle of ("value", x) or ("error", exception, text).

        None while there is none. Raises KeyError for an attempt not known here.
        """
        ...

    async def usage(self, since_ns: int) -> UsageReport:
        """All units and attempt intervals that had not ended before `since_ns`, complete up to `as_of_ns`.

        Intervals of an attempt lie inside the life of their unit, do not overlap for the same attempt and unit, and
        leave no gap between launch on the unit and end.
        """
        ...

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks for the end of an attempt: SIGTERM to its whole process tree, SIGKILL after `grace_s`.

        Returns at once; the end is reported by `poll` (`CANCELLED`, unless it had ended already). Works before, during
        and after the run, any number of times; an attempt not known here is remembered, so that a launch that comes
        later under this id starts nothing and is reported `CANCELLED`.
        """
        ...

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Lets the executor drop what it knows of ended attempts, logs included. Unknown ids are ignored.

        The broker calls it after it has copied the logs and read `usage` up to their end.
        """
        ...

    async def capacity(self) -> Capacity:
        """What the pool has and what is free, now."""
        ...


@runtime_checkable
class Scalable(Protocol):
    """A pool whose number of nodes or warm containers can be set."""

    async def scale(self, units: int) -> None:
        """Asks for `units` nodes (cluster) or warm containers (serverless), at once or as they become possible.

        Never ends a unit that runs an attempt. Raises `NoCapacity` beyond the pool's limit.
        """
        ...


@runtime_checkable
class Warmable(Protocol):
    """A serverless pool whose containers can be kept warm in another way while it runs."""

    async def keep_warm(self, setting: KeepWarm) -> None:
        """From now on containers are kept like this, and `capacity` says so; a repeat changes nothing.

        Never ends a unit that runs an attempt; idle ones end, and missing ones start, at once or as it becomes
        possible. It holds until it is called again or the pool is opened by another executor, which begins with what
        the pool's configuration says. Raises `NoCapacity` for more containers than the pool may have.
        """
        ...


class PriceSource(Protocol):
    """Knows offers.

    Made without arguments, and again whenever the broker looks for new prices. What it keeps may be in the state
    folder, which BROKER_STATE_DIR names in the environment.
    """

    name: str

    def offers(self) -> Iterable[Offer]:
        """All offers it knows, in any order. Raises `PriceMissing` when its data can't be read, saying where."""
        ...


class Store(StoreParts, Protocol):
    """The only truth. Every method is one transaction, safe from any thread; `StoreError` when it can't be done.

    Times are nanoseconds since the epoch, money whole nanodollars. State changes and charges are only ever appended.
    """

    def add_jobs(
        self,
        jobs: Sequence[Job],
        document: str,
        document_hash: str,
        reserving: Reservation | None = None,
        room: Sequence[Waiting] = (),
        note: str = "",
    ) -> tuple[Job, ...]:
        """Stores the jobs of one submission, all or none, and the document that they came from.

        With `reserving`, reserves for them in the budgets that it names; where one that refuses has no room left for
        them beside all that is spent and reserved by then, raises `OverBudget` and stores nothing. With `room`, raises
        `OverQuota` where more of its jobs would wait than may. `note` begins their history.

        Idempotent by id: when the first job's id (or array id) exists with the same document hash, nothing is stored
        and the jobs stored then are returned as they are now; with another hash raises `Conflict`.
        """
        ...

    def add_batch(self, entries: Sequence[Entry]) -> tuple[tuple[Job, ...], ...]:
        """As `add_jobs` for each, all entries or none: the jobs of each entry, in order. Ids are of one entry only."""
        ...

    def job(self, job_id: str, *, shown: bool = False) -> Job:
        """Raises `UnknownName` with the nearest ids, and `Unreadable`; what is only `shown` has `unread` instead."""
        ...

    def recorded(self, job_id: str, *, shown: bool = False) -> Recorded:
        """A job with its attempts, placements and document. Raises `UnknownName`, and `Unreadable` as `job` does."""
        ...

    def waits_for(self, job_id: str) -> str:
        """Why a job was not placed when that was last decided; empty where it was, or is yet to be decided."""
        ...

    def jobs(self, wanted: JobFilter, *, collapse: bool = False) -> JobPage:
        """One page of jobs, newest first, also those that can't be read: `unread` of these says why."""
        ...

    def counts(self, array_id: str | None = None) -> Mapping[JobState, int]:
        """Number of jobs in each state, of one array or of all."""
        ...

    def placeable(self, now_ns: int, limit: int, skip: frozenset[str] = frozenset()) -> tuple[Job, ...]:
        """Queued jobs whose time has come and that nobody asked to cancel: largest priority first, then oldest."""
        ...

    def next_due_ns(self, now_ns: int) -> int | None:
        """When the next queued job's retry backoff ends, if that is after `now_ns`."""
        ...

    def request_cancel(self, job_ids: Sequence[str]) -> tuple[Job, ...]:
        """Marks jobs that have not ended; an array id means all its tasks. Returns the marked jobs. Idempotent.

        Raises `UnknownName`, marking none.
        """
        ...

    def cancel_requested(self, limit: int) -> tuple[Job, ...]:
        """Jobs marked for cancellation that have not ended, also those that can't be read."""
        ...

    def record(
        self,
        *,
        jobs: Sequence[Job] = (),
        attempts: Sequence[Attempt] = (),
        changes: Sequence[StateChange] = (),
        placements: Sequence[Placement] = (),
    ) -> None:
        """Writes new values of jobs and attempts (new attempts are inserted), appends changes and placements.

        `spec`, `user`, ids and `cancel_requested` of a job are never changed by this. Raises `Conflict`, changing
        nothing, when a stored state may not move to the new one (`JOB_MOVES`, `ATTEMPT_MOVES`).
        """
        ...

    def open_attempts(self, pool: str | None = None) -> tuple[Attempt, ...]:
        """Attempts that have not ended."""
        ...

    def attempt(self, attempt_id: str) -> Attempt:
        """Raises `UnknownName`."""
        ...

    def runtimes(self, user: str, name: str, limit: int = 50) -> tuple[float, ...]:
        """Seconds that the last succeeded attempts of a user's jobs of this name ran, newest first."""
        ...

    def changes(self, job_id: str) -> tuple[StateChange, ...]:
        """The history of a job and its attempts, oldest first."""
        ...

    def watermark(self, pool: str) -> int:
        """Up to when usage of a pool has been settled; 0 at first."""
        ...

    def open_units(self, pool: str) -> tuple[UnitUsage, ...]:
        """Units that had not ended at the last settlement, each with the attempt that held it last."""
        ...

    def settle(self, pool: str, report: UsageReport, charges: Sequence[Charge]) -> None:
        """Stores usage and charges and moves the watermark to `report.as_of_ns`, all or none.

        Charges whose key exists are skipped; each price used is kept once, with source and date. Raises `Conflict`,
        storing nothing, for a new charge that begins before the watermark: that time is charged already. An estimate
        may be of time that is settled.
        """
        ...

    def spend(self, wanted: SpendFilter) -> tuple[SpendRow, ...]:
        """Metered charges grouped and summed exactly."""
        ...

    def billed(self, wanted: SpendFilter) -> tuple[BilledLine, ...]:
        """The metered charges that a filter takes, by day, unit, job, kind and price; its `by` does not count."""
        ...

    def charges(
        self,
        *,
        job_id: str | None = None,
        pool: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> tuple[Charge, ...]:
        """Charges of a job (its attempts) or a pool that begin in a time, oldest first."""
        ...

    def ledger(self, since_ns: int, until_ns: int, pool: str | None = None) -> tuple[LedgerLine, ...]:
        """Metered charges and corrections that begin in a time, summed by day, unit, kind, attempt and price."""
        ...

    def correct(self, corrections: Sequence[Correction]) -> int:
        """Appends corrections, all or none; those whose key exists are skipped. Returns how many were new.

        Raises `Conflict`, storing nothing, when a key exists with another amount: another bill was recorded meanwhile.
        """
        ...

    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that are stored, by name."""
        ...

    def keep_budget(self, budget: Budget) -> None:
        """Stores a budget, or replaces the one of its name."""
        ...

    def drop_budget(self, name: str) -> None:
        """Removes a budget. Raises `UnknownName`."""
        ...

    def standings(self, wanted: Sequence[Asked], now_ns: int, tails: Sequence[str] = ()) -> tuple[Standing, ...]:
        """What has become of budgets in their periods, in the same order; `tails` are the serverless pools."""
        ...

    def running_in(self, budget: Budget) -> tuple[str, ...]:
        """Jobs of a budget that have an open attempt, and whose end nobody asked for."""
        ...

    def job_costs(self, job_ids: Sequence[str]) -> Mapping[str, tuple[Money, int]]:
        """For each job: what it is known to have cost (run and overhead it caused), and its charges without a price."""
        ...

    def close(self) -> None:
        """Gives back connections."""
        ...
