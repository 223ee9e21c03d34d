"""Budgets ↔ rows; what was spent in them and what is reserved; submissions that are taken only where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, case, delete, func, insert, select, text

from broker.decide.budgets import refuses, taken
from broker.model.budgets import Action, Asked, Budget, Period, Reservation, Standing
from broker.model.errors import OverBudget, UnknownName
from broker.model.jobs import JobState
from broker.model.money import NANODOLLARS_PER_USD, NS_PER_S, Money
from broker.model.query import SpendFilter
from broker.model.usage import ACTUAL
from broker.run.store.engine import upsert
from broker.run.store.specs import chunks
from broker.run.store.spending import spend
from broker.run.store.tables import (
    OPEN_ATTEMPT,
    OPEN_UNIT,
    attempts,
    budgets,
    charges,
    job_tags,
    jobs,
    reservations,
    tags,
    units,
    watermarks,
)

# An attempt that ended is reserved for until its pool's usage is charged; a pool that is gone would never be.
UNSETTLED_NS: Final = 86_400 * NS_PER_S
_LOCK: Final = 7226002


def every(connection: Connection) -> tuple[Budget, ...]:
    """All that are stored, by name."""
    return tuple(_budget(row) for row in connection.execute(select(budgets).order_by(budgets.c.name)))


def keep(connection: Connection, budget: Budget) -> None:
    """Stores a budget, or replaces the one of its name."""
    values = {
        "name": budget.name,
        "limit": budget.limit.nanodollars,
        "period": budget.period.value,
        "action": budget.action.value,
        "user": budget.user,
        "pool": budget.pool,
        "project": budget.project,
        "tag_key": budget.tag[0] if budget.tag else None,
        "tag_value": budget.tag[1] if budget.tag else None,
        "stop_running": budget.stop_running,
    }
    upsert(connection, budgets, [values])


def drop(connection: Connection, name: str) -> None:
    """Removes a budget. Raises UnknownName."""
    if not connection.execute(delete(budgets).where(budgets.c.name == name)).rowcount:
        raise no_budget(name)


def no_budget(name: str) -> UnknownName:
    """The error for a budget that there is not, or that is not somebody's to see."""
    return UnknownName(f"there is no budget {name!r}: `broker budget list` shows them")


def standings(
    connection: Connection, wanted: Sequence[Asked], now_ns: int, tails: Sequence[str]
) -> tuple[Standing, ...]:
    """What has become of budgets in their periods; `tails` are the serverless pools."""
    return tuple(_standing(connection, each, now_ns, tails) for each in wanted)


def reserve(connection: Connection, job_ids: Sequence[str], wanted: Reservation) -> None:
    """Reserves for jobs that were just stored. Raises OverBudget where a budget refuses them.

    Whoever submits at the same time waits for the end of this transaction.
    """
    if not wanted.budgets:
        return
    take_turns(connection)
    found = standings(connection, wanted.budgets, wanted.now_ns, wanted.tails)
    # The jobs are among those that wait only once they have a reservation.
    if against := [said for standing, said in taken(found, wanted.each, len(job_ids)) if refuses(standing)]:
        raise OverBudget("\n".join(against))
    amount = wanted.each.nanodollars if wanted.each is not None else None
    for chunk in chunks(job_ids):
        seqs = connection.execute(select(jobs.c.seq).where(jobs.c.id.in_(chunk))).scalars()
        connection.execute(insert(reservations), [{"job_seq": seq, "amount": amount} for seq in seqs])


def take_turns(connection: Connection) -> None:
    """Waits until no other transaction reserves; the next one waits for the end of this one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def _standing(connection: Connection, wanted: Asked, now_ns: int, tails: Sequence[str]) -> Standing:
    spent, unpriced = _spent(connection, wanted)
    return Standing(
        budget=wanted.budget,
        since_ns=wanted.since_ns,
        until_ns=wanted.until_ns,
        spent=spent,
        committed=Money(_committed(connection, wanted.budget, now_ns, tails)),
        queued=Money(_queued(connection, wanted.budget)),
        unpriced=unpriced,
    )


def _spent(connection: Connection, wanted: Asked) -> tuple[Money, int]:
    budget = wanted.budget
    rows = spend(
        connection,
        SpendFilter(
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
            by=(),
            user=budget.user,
            projects=None if budget.project is None else frozenset([budget.project]),
            pool=budget.pool,
            tags=dict([budget.tag]) if budget.tag else {},
        ),
    )
    return Money.total(row.total for row in rows), sum(row.unknown for row in rows)


def _committed(connection: Connection, budget: Budget, now_ns: int, tails: Sequence[str]) -> int:
    """What may still be charged of what was reserved for attempts: those that run, that ended after the last settlement
    of their pool, and those whose idle tail goes on."""
    charged = (
        select(func.coalesce(func.sum(charges.c.amount), 0))
        .where(charges.c.attempt_id == attempts.c.id, charges.c.book.in_(ACTUAL))
        .correlate(attempts)
        .scalar_subquery()
    )
    rest = attempts.c.reserved - charged
    settled = select(watermarks.c.at_ns).where(watermarks.c.pool == attempts.c.pool).correlate(attempts)
    unsettled = (attempts.c.ended_ns > now_ns - UNSETTLED_NS) & (
        attempts.c.ended_ns > func.coalesce(settled.scalar_subquery(), 0)
    )
    tailing = select(units.c.last_attempt).where(OPEN_UNIT, units.c.pool.in_(tails), units.c.last_attempt.is_not(None))
    ids = select(attempts.c.id).where(OPEN_ATTEMPT).union(select(attempts.c.id).where(unsettled), tailing)
    query = select(*_in_two(case((rest > 0, rest), else_=0))).where(attempts.c.id.in_(ids))
    if budget.pool is not None:
        query = query.where(attempts.c.pool == budget.pool)
    return _whole(connection, _in_scope(query, budget, attempts.c.job_seq))


def _queued(connection: Connection, budget: Budget) -> int:
    """What was reserved for jobs that wait. Where they will run is not known: of a pool's budget, nothing."""
    if budget.pool is not None:
        return 0
    query = select(*_in_two(reservations.c.amount)).join(jobs, jobs.c.seq == reservations.c.job_seq)
    return _whole(connection, query.where(jobs.c.state == JobState.QUEUED.value, *_whose(budget)))


def _in_two(amount: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """The sum of dollars and that of the nanodollars beside them: SQLite gives up on a sum beyond 64 bits.

    A hundred thousand tasks that may each run for a year are reserved for, whatever becomes of them.
    """
    return func.sum(amount.op("/")(NANODOLLARS_PER_USD)), func.sum(amount % NANODOLLARS_PER_USD)


def _whole(connection: Connection, query: Select[Any, Any]) -> int:
    usd, rest = connection.execute(query).one()
    return int(usd or 0) * NANODOLLARS_PER_USD + int(rest or 0)


def _in_scope(query: Select[Any, Any], budget: Budget, job_seq: ColumnElement[int]) -> Select[Any, Any]:
    if not _whose(budget):
        return query
    return query.where(job_seq.in_(select(jobs.c.seq).where(*_whose(budget))))


def _whose(budget: Budget) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if budget.user is not None:
        found.append(jobs.c.user == budget.user)
    if budget.project is not None:
        found.append(jobs.c.project == budget.project)
    if budget.tag is not None:
        key, value = budget.tag
        tagged = select(job_tags.c.job_seq).join(tags, tags.c.id == job_tags.c.tag_id)
        found.append(jobs.c.seq.in_(tagged.where(tags.c.key == key, tags.c.value == value)))
    return found


def running(connection: Connection, budget: Budget) -> tuple[str, ...]:
    """Jobs of a budget with an attempt that has not ended, and whose end nobody asked for."""
    query = (
        select(jobs.c.id)
        .join(attempts, attempts.c.job_seq == jobs.c.seq)
        .where(attempts.c.id.in_(select(attempts.c.id).where(OPEN_ATTEMPT)), ~jobs.c.cancel_requested, *_whose(budget))
    )
    if budget.pool is not None:
        query = query.where(attempts.c.pool == budget.pool)
    return tuple(connection.execute(query.distinct()).scalars())


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        name=row.name,
        limit=Money(row.limit),
        period=Period(row.period),
        action=Action(row.action),
        user=row.user,
        pool=row.pool,
        project=row.project,
        tag=(row.tag_key, row.tag_value) if row.tag_key is not None else None,
        stop_running=row.stop_running,
    )
