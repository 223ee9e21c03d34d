"""The port to what brokers that share a store know of each other, which is a part of the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from broker.model.budgets import Reservation
from broker.model.jobs import Attempt, Job, StateChange
from broker.model.leases import Member, Question, Standing
from broker.model.placement import Placement
from broker.model.projects import Project
from broker.model.submissions import Entry


class LeaseStore(Protocol):
    """Leases with the store's own clock: those of machines don't count. Every method is one transaction."""

    @property
    def shared(self) -> bool:
        """Whether several brokers may use it at a time."""
        ...

    def join(self, member: Member, lease_s: float) -> None:
        """A new broker or API worker. Whoever had its home before is gone, and so are its leases.

        From now on everything that this store records is recorded only while this member lives, and raises `LeaseLost`
        afterwards. Raises `Conflict` where the database can serve one broker only, and has one.
        """
        ...

    def renew(self, member: Member, lease_s: float, wanted: Mapping[str, str]) -> Standing:
        """Lives for `lease_s` more, and takes those wanted leases (with the place of each) that are free.

        One whose records are in another place is not free, whoever had it; see `take_abandoned`. Members whose time is
        over are gone. Raises `LeaseLost` when this one is.
        """
        ...

    def take_abandoned(self, member: Member, name: str, away_s: float) -> bool:
        """Takes a lease that nobody has had for `away_s`, whatever its place; whether it did. Raises `LeaseLost`."""
        ...

    def clear_place(self, member: Member, name: str) -> None:
        """Gives back a lease of which nothing is left in its place: from now on it may be taken from anywhere."""
        ...

    def leave(self, member: Member) -> None:
        """It is gone, and its leases are free: those of pools where nothing goes on to be taken from anywhere."""
        ...

    def publish(self, member: Member, views: Mapping[str, str]) -> None:
        """Says of pools that it drives what others need to know. Raises `LeaseLost`."""
        ...

    def begin(
        self, entry: Entry, *, job: Job, attempt: Attempt, change: StateChange, placement: Placement
    ) -> tuple[Job, ...]:
        """As `add_batch` of one entry with one job, and `record` of what that job becomes: all of it, or nothing.

        A repeat returns the job as it is now, and records nothing. Raises as both do.
        """
        ...

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
        """Records what was decided about jobs that are still queued, have been tried as often as their new values say,
        and are not being decided about by another broker at this moment. Returns their ids.

        With `within`, raises `OverBudget`, changing nothing, where what begins is more than its budgets have left. What
        the quotas of `quotas` have no room for, after all that other brokers have begun, stays queued.
        """
        ...

    def ask(self, name: str, body: str) -> int:
        """A question to whoever drives a pool; its number."""
        ...

    def questions(self, names: Sequence[str]) -> tuple[Question, ...]:
        """Questions to the drivers of these pools, each given out once."""
        ...

    def reply(self, question_id: int, data: bytes) -> None:
        """The answer to a question."""
        ...

    def answer(self, question_id: int) -> bytes | None:
        """The answer, which is forgotten with its question; None where it has not come."""
        ...

    def tell(self, messages: Sequence[str]) -> None:
        """Tells every broker and API worker that listens, now."""
        ...

    def listen(self) -> AsyncGenerator[str]:
        """What brokers and API workers tell, as it comes, beginning with an empty message. Raises `StoreAway`."""
        ...

    def check(self) -> None:
        """Returns when the database answers. Raises `StoreError`."""
        ...
