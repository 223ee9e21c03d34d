"""What the service answers with: values that hold together what belongs together, and no more than was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from zlib import crc32

from broker.model.errors import Problem
from broker.model.jobs import Attempt, Job, JobState, StateChange
from broker.model.leases import Member, Standing
from broker.model.money import ZERO, Money
from broker.model.placement import Placement, Verdict
from broker.model.pools import Capacity, Pool
from broker.model.usage import Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something is known to have cost so far."""

    known: Money
    unknown: int = 0  # charges without a known price, which are not in `known`
    complete: bool = False  # all that ran is charged; the idle tail of a container may still be added


NO_COST = Cost(known=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of a submission."""

    id: str  # of the job, or of the array
    name: str
    tasks: int | None  # of an array; None for a single job
    created: bool  # False: this id was submitted before with the same content, and is found again
    ignored: tuple[Problem, ...] = ()  # fields of other tools that mean nothing here
    warnings: tuple[str, ...] = ()  # budgets that have no room for it


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """One job as a line of a list."""

    job: Job
    attempt: Attempt | None  # the last one
    cost: Cost
    emulated: bool = False  # it has GPUs, and those of its pool are logical
    waits_for: str = ""  # why it is still queued, where that was asked for

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job.state.ended

    @property
    def revision(self) -> str:
        """Another text whenever the job's state, attempts or wish to be cancelled are other ones, or why it waits."""
        waits = f"-{crc32(self.waits_for.encode()):x}" if self.waits_for else ""
        return f"{self.job.state}-{self.job.attempts}-{'x' if self.job.cancel_requested else 'o'}{waits}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayStanding:
    """An array as one line."""

    array_id: str
    name: str
    user: str
    project: str
    submitted_ns: int
    counts: dict[JobState, int]  # states without a task are left out
    cost: Cost | None = None  # None: not asked for

    @property
    def tasks(self) -> int:
        """How many tasks it has."""
        return sum(self.counts.values())

    @property
    def ended(self) -> bool:
        """Whether all tasks have."""
        return all(state.ended for state, number in self.counts.items() if number)

    @property
    def state(self) -> JobState:
        """Of the whole: what its least finished tasks are doing; once ended, the worst end."""
        order = (
            (JobState.RUNNING, JobState.STARTING, JobState.QUEUED)
            if not self.ended
            else (JobState.FAILED, JobState.CANCELLED)
        )
        return next((state for state in order if self.counts.get(state)), JobState.SUCCEEDED)

    @property
    def revision(self) -> str:
        """Another text whenever the number of tasks in some state is another one."""
        return "-".join(str(self.counts.get(state, 0)) for state in JobState)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """One page of a list, newest first."""

    items: tuple[JobStanding | ArrayStanding, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job with its whole history."""

    standing: JobStanding
    attempts: tuple[Attempt, ...]
    placements: tuple[Placement, ...]  # oldest first
    changes: tuple[StateChange, ...]
    charges: tuple[Charge, ...]
    estimates: tuple[Charge, ...]  # what providers themselves say that it has cost; no part of the charges
    document: str  # canonical JSON of what was submitted
    emulated: frozenset[str] = frozenset()  # ids of attempts whose GPUs are logical

    @property
    def placement(self) -> Placement | None:
        """The decision that counts: the last that started an attempt, else the last."""
        started = [placement for placement in self.placements if placement.verdict is Verdict.RUN]
        known = started or list(self.placements)
        return known[-1] if known else None

    @property
    def predicted(self) -> Money | None:
        """What the decisions that started its attempts thought that they would cost; None where one did not know."""
        chosen = [placement.chosen for placement in self.placements if placement.verdict is Verdict.RUN]
        amounts = [quote.full for quote in chosen if quote is not None]
        return Money.total(amount for amount in amounts if amount) if amounts and None not in amounts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStanding:
    """One pool as it is now."""

    pool: Pool
    capacity: Capacity | None  # as last heard; None: never
    problem: str | None  # why it takes no work; None when it does
    today: date  # by the broker's clock, in UTC
    stale_offers: frozenset[str] = frozenset()  # ids of offers whose price is older than the configured limit


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStanding:
    """The daemon itself."""

    pid: int
    version: str
    started_ns: int
    now_ns: int
    memory_bytes: int  # resident
    counts: dict[JobState, int]
    problems: dict[str, str]  # pool -> why it takes no work
    member: Member  # this one
    brokers: Standing  # all of the store
