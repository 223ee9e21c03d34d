"""The port to a store of schedules, which is a part of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from broker.model.schedules import Firing, Schedule


class ScheduleStore(Protocol):
    """Keeps schedules and their firings. Every method is one transaction, as all of `Store`."""

    def add_schedule(self, schedule: Schedule) -> None:
        """Stores a new schedule. Raises `Conflict` when there is one of this name."""
        ...

    def schedules(self) -> tuple[Schedule, ...]:
        """All of them by name."""
        ...

    def schedule(self, name: str) -> Schedule:
        """Raises `UnknownName`."""
        ...

    def change_schedule(self, schedule: Schedule) -> None:
        """Writes new values of the schedule with this id; what is decided stays so. Raises `UnknownName`."""
        ...

    def drop_schedule(self, name: str) -> None:
        """Removes a schedule and its firings; jobs stay. Raises `UnknownName`."""
        ...

    def keep_firings(self, schedule: str, firings: Sequence[Firing], decided_ns: int) -> tuple[Firing, ...]:
        """Stores what was decided of a schedule's firings up to a time, and returns those that are new.

        What is stored of a firing already stays as it is: of brokers that decide at once, one has decided.
        """
        ...

    def due_firings(self) -> tuple[Firing, ...]:
        """Those that are decided on and not submitted yet, oldest first."""
        ...

    def end_firing(self, firing: Firing) -> bool:
        """Writes what became of a firing that is due; False where that was known already."""
        ...

    def firings(self, schedule: str, limit: int) -> tuple[Firing, ...]:
        """The last firings of a schedule, newest first."""
        ...

    def last_firings(self) -> Mapping[str, Firing]:
        """The last firing of each schedule that has one, by its id."""
        ...

    def active_jobs(self, schedule: str, before_ns: int) -> tuple[str, ...]:
        """Jobs and arrays of earlier firings that have not ended, or are to be submitted yet, oldest first."""
        ...
