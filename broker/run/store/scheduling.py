"""Schedules and their firings ↔ rows. A firing is stored once, whoever decides on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from broker.model.acting import about
from broker.model.errors import Conflict, UnknownName
from broker.model.jobs import JOB_ENDS
from broker.model.schedules import CatchUp, Concurrency, Firing, FiringState, Schedule
from broker.run.store.engine import insert_new
from broker.run.store.kept_tables import DUE_FIRING, firings, schedules
from broker.run.store.tables import jobs
from broker.run.store.transactions import Transactions

KEPT: Final = 1_000  # firings of a schedule


class StoredSchedules(Transactions):
    """`broker.schedule_store.ScheduleStore` in SQL."""

    def add_schedule(self, schedule: Schedule) -> None:
        """Stores a new one. Raises Conflict when there is one of this name."""
        with self._write() as connection:
            if connection.execute(select(schedules.c.id).where(schedules.c.name == schedule.name)).first():
                raise Conflict(f"there is a schedule {schedule.name!r}: delete it first, or choose another name")
            about(schedule.name)
            connection.execute(insert(schedules).values(_values(schedule)))

    def schedules(self) -> tuple[Schedule, ...]:
        """All of them by name."""
        with self._read() as connection:
            return tuple(map(_schedule, connection.execute(select(schedules).order_by(schedules.c.name))))

    def schedule(self, name: str) -> Schedule:
        """One of them. Raises UnknownName."""
        with self._read() as connection:
            row = connection.execute(select(schedules).where(schedules.c.name == name)).first()
        if row is None:
            raise no_schedule(name)
        return _schedule(row)

    def change_schedule(self, schedule: Schedule) -> None:
        """Writes new values; what is decided stays so. Raises UnknownName."""
        values, mine = _values(schedule), schedules.c.id == schedule.id
        decided_ns = values.pop("decided_ns")
        with self._write() as connection:
            if not connection.execute(update(schedules).where(mine).values(values)).rowcount:
                raise no_schedule(schedule.name)
            _decided(connection, schedule.id, decided_ns)

    def drop_schedule(self, name: str) -> None:
        """Removes one and its firings. Raises UnknownName."""
        with self._write() as connection:
            mine = select(schedules.c.id).where(schedules.c.name == name).scalar_subquery()
            connection.execute(delete(firings).where(firings.c.schedule == mine))
            if not connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount:
                raise no_schedule(name)

    def keep_firings(self, schedule: str, decided: Sequence[Firing], decided_ns: int) -> tuple[Firing, ...]:
        """Stores firings that are not there yet, and returns them; what was decided before stays."""
        with self._write() as connection:
            if not connection.execute(select(schedules.c.id).where(schedules.c.id == schedule)).first():
                return ()
            # Of an insert, only what it returns says whether there was a row: its count does not on PostgreSQL.
            keeping = insert_new(connection, firings).returning(firings.c.at_ns)
            new = tuple(
                firing for firing in decided if connection.execute(keeping.values(_firing_values(firing))).first()
            )
            _decided(connection, schedule, decided_ns)
            _drop_old(connection, schedule)
            return new

    def due_firings(self) -> tuple[Firing, ...]:
        """Those that are decided on and not submitted yet, oldest first."""
        with self._read() as connection:
            return tuple(map(_firing, connection.execute(select(firings).where(DUE_FIRING).order_by(firings.c.at_ns))))

    def end_firing(self, firing: Firing) -> bool:
        """Writes what became of one that is due; False where that was known already."""
        mine = (firings.c.schedule == firing.schedule) & (firings.c.at_ns == firing.at_ns) & DUE_FIRING
        values = {"state": firing.state.value, "reason": firing.reason}
        with self._write() as connection:
            return connection.execute(update(firings).where(mine).values(values)).rowcount == 1

    def firings(self, schedule: str, limit: int) -> tuple[Firing, ...]:
        """The last ones of a schedule, newest first."""
        query = select(firings).where(firings.c.schedule == schedule).order_by(firings.c.at_ns.desc()).limit(limit)
        with self._read() as connection:
            return tuple(map(_firing, connection.execute(query)))

    def last_firings(self) -> Mapping[str, Firing]:
        """The last one of each schedule that has one, by its id."""
        other = firings.alias()
        last = select(func.max(other.c.at_ns)).where(other.c.schedule == schedules.c.id).scalar_subquery()
        query = select(firings).join(schedules, firings.c.schedule == schedules.c.id).where(firings.c.at_ns == last)
        with self._read() as connection:
            return {row.schedule: _firing(row) for row in connection.execute(query)}

    def active_jobs(self, schedule: str, before_ns: int) -> tuple[str, ...]:
        """Jobs and arrays of earlier firings that have not ended, or are to be submitted yet, oldest first."""
        running = exists().where(jobs.c.head == firings.c.job_id, jobs.c.state.not_in(JOB_ENDS))
        mine = (firings.c.schedule == schedule) & (firings.c.at_ns < before_ns)
        due = firings.c.state == FiringState.DUE.value
        query = select(firings.c.job_id).where(mine, running | due).order_by(firings.c.at_ns)
        with self._read() as connection:
            return tuple(connection.execute(query).scalars())


def _decided(connection: Connection, schedule: str, decided_ns: int) -> None:
    """Firings up to here are decided on; what another broker decided beyond stays."""
    earlier = (schedules.c.id == schedule) & (schedules.c.decided_ns < decided_ns)
    connection.execute(update(schedules).where(earlier).values(decided_ns=decided_ns))


def _drop_old(connection: Connection, schedule: str) -> None:
    mine = firings.c.schedule == schedule
    newest = select(firings.c.at_ns).where(mine).order_by(firings.c.at_ns.desc())
    if (oldest := connection.execute(newest.offset(KEPT - 1).limit(1)).scalar()) is not None:
        connection.execute(
            delete(firings).where(mine, firings.c.at_ns < oldest, firings.c.state != FiringState.DUE.value)
        )


def no_schedule(name: str) -> UnknownName:
    """The error for a schedule that there is not, or that is not somebody's to see."""
    return UnknownName(f"there is no schedule {name!r}: `broker schedule list` shows them")


def _values(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "name": schedule.name,
        "user_name": schedule.user,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "document": schedule.document,
        "concurrency": schedule.concurrency.value,
        "catch_up": schedule.catch_up.value,
        "starting_deadline_s": schedule.starting_deadline_s,
        "jitter_s": schedule.jitter_s,
        "paused": schedule.paused,
        "created_ns": schedule.created_ns,
        "decided_ns": schedule.decided_ns,
    }


def _schedule(row: Any) -> Schedule:
    return Schedule(
        id=row.id,
        name=row.name,
        user=row.user_name,
        cron=row.cron,
        timezone=row.timezone,
        document=row.document,
        concurrency=Concurrency(row.concurrency),
        catch_up=CatchUp(row.catch_up),
        starting_deadline_s=row.starting_deadline_s,
        jitter_s=row.jitter_s,
        paused=row.paused,
        created_ns=row.created_ns,
        decided_ns=row.decided_ns,
    )


def _firing_values(firing: Firing) -> dict[str, Any]:
    return {
        "schedule": firing.schedule,
        "at_ns": firing.at_ns,
        "state": firing.state.value,
        "job_id": firing.job_id,
        "reason": firing.reason,
        "by_hand": firing.by_hand,
        "decided_ns": firing.decided_ns,
    }


def _firing(row: Any) -> Firing:
    return Firing(
        schedule=row.schedule,
        at_ns=row.at_ns,
        state=FiringState(row.state),
        job_id=row.job_id,
        reason=row.reason,
        by_hand=row.by_hand,
        decided_ns=row.decided_ns,
    )
