"""Questions about jobs and attempts → values: one, some by their state, their history, the next to be placed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from broker.model.errors import UnknownName, Unreadable
from broker.model.jobs import Attempt, Job, JobState, StateChange
from broker.model.money import NS_PER_S
from broker.model.placement import Placement, Verdict
from broker.model.projects import Holding
from broker.model.query import Recorded
from broker.model.runs import Run
from broker.run.store.job_counts import counted
from broker.run.store.placement_json import load_placement
from broker.run.store.rows import attempt_of, resources_columns, shared
from broker.run.store.specs import NONSENSE, Specs, chunks
from broker.run.store.tables import (
    CANCELLING,
    DELAYED,
    OPEN_ATTEMPT,
    QUEUED,
    SUCCEEDED,
    attempts,
    changes,
    documents,
    jobs,
    placements,
)

log = structlog.get_logger()

_NEIGHBOURS: Final = 200
_AT_ONCE: Final = 1_000  # rows that are fetched while no other thread runs

ATTEMPTS: Final = select(attempts, jobs.c.id.label("job_id")).join(jobs, jobs.c.seq == attempts.c.job_seq)


def job(connection: Connection, specs: Specs, job_id: str, *, shown: bool) -> Job:
    """One job. Raises UnknownName, and Unreadable unless it is only shown."""
    return (specs.shown if shown else specs.jobs)(connection, [_row(connection, job_id)])[0]


def recorded(connection: Connection, specs: Specs, job_id: str, *, shown: bool) -> Recorded:
    """One job with all that is known of it. Raises UnknownName, and Unreadable unless it is only shown."""
    row = _row(connection, job_id)
    runs = connection.execute(ATTEMPTS.where(attempts.c.job_seq == row.seq).order_by(attempts.c.number))
    decisions = connection.execute(
        select(placements.c.at_ns, placements.c.body).where(placements.c.job_seq == row.seq).order_by(placements.c.seq)
    )
    return Recorded(
        job=(specs.shown if shown else specs.jobs)(connection, [row])[0],
        attempts=tuple(attempt_of(run) for run in runs),
        placements=tuple(_placements([(each.at_ns, each.body) for each in decisions], job_id, shown=shown)),
        document=connection.execute(select(documents.c.body).where(documents.c.id == row.document_id)).scalar_one(),
    )


def waits_for(connection: Connection, job_id: str) -> str:
    """Why a job was not placed when that was last decided; empty where it was, or is yet to be decided."""
    mine = placements.c.job_seq == select(jobs.c.seq).where(jobs.c.id == job_id).scalar_subquery()
    said = select(placements.c.verdict, placements.c.reason).where(mine).order_by(placements.c.seq.desc()).limit(1)
    row = connection.execute(said).first()
    return str(row.reason) if row is not None and row.verdict == Verdict.WAIT.value else ""


def _placements(decisions: Iterable[tuple[int, str]], job_id: str, *, shown: bool) -> Iterator[Placement]:
    for at_ns, body in decisions:
        try:
            yield load_placement(body, job_id=job_id, at_ns=at_ns)
        except NONSENSE as error:
            if not shown:
                raise Unreadable(frozenset({job_id}), error) from error
            log.error("a decision about a job can't be read, and is not shown", job=job_id, error=repr(error))


def counts(connection: Connection, array_id: str | None) -> Mapping[JobState, int]:
    """How many jobs are in each state; states without any are there, with 0."""
    found = counted(connection) if array_id is None else counts_of(connection, [array_id]).get(array_id, {})
    return {state: found.get(state, 0) for state in JobState}


def counts_of(connection: Connection, array_ids: Collection[str]) -> dict[str, dict[JobState, int]]:
    """How many tasks of arrays are in each state that one is in."""
    found: defaultdict[str, dict[JobState, int]] = defaultdict(dict)
    for chunk in chunks(array_ids):
        query = select(jobs.c.head, jobs.c.state, func.count()).where(jobs.c.head.in_(chunk))
        for head, state, number in connection.execute(query.group_by(jobs.c.head, jobs.c.state)):
            found[head][JobState(state)] = number
    return found


def placeable(
    connection: Connection, specs: Specs, now_ns: int, limit: int, skip: frozenset[str], *of: ColumnElement[bool]
) -> tuple[Job, ...]:
    """The next jobs to be placed: largest priority first, then oldest."""
    ready = select(jobs).where(QUEUED, jobs.c.not_before_ns <= now_ns, *of)
    query = ready.order_by(jobs.c.rank, jobs.c.submitted_ns, jobs.c.seq)
    if not skip:
        return specs.jobs(connection, connection.execute(query.limit(limit)).all())
    names = connection.execute(query.with_only_columns(jobs.c.id).execution_options(yield_per=1_000))
    wanted: list[str] = []
    with names:
        for name in names.scalars():
            if name not in skip:
                wanted.append(name)
                if len(wanted) == limit:
                    break
    rows = {row.id: row for chunk in chunks(wanted) for row in connection.execute(_by_id(chunk))}
    return specs.jobs(connection, [rows[name] for name in wanted])


def holdings(connection: Connection, specs: Specs) -> tuple[Holding, ...]:
    """What attempts that have not ended hold, on all their nodes."""
    keys = (jobs.c.project, jobs.c.user, attempts.c.gpu_model)
    query = (
        select(*keys, jobs.c.spec_id, func.sum(attempts.c.gpus), func.sum(attempts.c.cpus), func.count())
        .join(jobs, jobs.c.seq == attempts.c.job_seq)
        .where(attempts.c.id.in_(select(attempts.c.id).where(OPEN_ATTEMPT)))
        .group_by(*keys, jobs.c.spec_id)
    )
    rows = connection.execute(query).all()
    needs = specs.needs(connection, {row.spec_id for row in rows})
    return tuple(
        Holding(
            project=project,
            user=user,
            gpu_model=model,
            gpus=gpus * needs[spec_id].nodes,
            cpus=cpus * needs[spec_id].nodes,
            jobs=count,
        )
        for project, user, model, spec_id, gpus, cpus, count in rows
    )


def next_due_ns(connection: Connection, now_ns: int) -> int | None:
    """When the next retry backoff ends, if later than now."""
    later = select(func.min(jobs.c.not_before_ns)).where(DELAYED, jobs.c.not_before_ns > now_ns)
    found: int | None = connection.execute(later).scalar()
    return found


def cancel_requested(connection: Connection, specs: Specs, limit: int) -> tuple[Job, ...]:
    """Jobs to be cancelled that have not ended, oldest first, also those that can't be read."""
    query = select(jobs).where(CANCELLING).order_by(jobs.c.seq).limit(limit)
    return specs.shown(connection, connection.execute(query).all())


def open_attempts(connection: Connection, pool: str | None) -> tuple[Attempt, ...]:
    """Attempts that have not ended, oldest first."""
    is_open = attempts.c.id.in_(select(attempts.c.id).where(OPEN_ATTEMPT))
    query = ATTEMPTS.where(is_open).order_by(attempts.c.stored_ns, attempts.c.id)
    if pool is not None:
        query = query.where(attempts.c.pool == pool)
    return tuple(attempt_of(row) for row in connection.execute(query))


def attempt(connection: Connection, attempt_id: str) -> Attempt:
    """One attempt. Raises UnknownName."""
    row = connection.execute(ATTEMPTS.where(attempts.c.id == attempt_id)).first()
    if row is None:
        raise UnknownName(f"there is no attempt {attempt_id!r}")
    return attempt_of(row)


def first_run_ns(connection: Connection, since_ns: int) -> int | None:
    """When the first attempt of all began; None where one had ended before a time: that is found by the index."""
    ended = select(attempts.c.id).where(attempts.c.ended_ns < since_ns).limit(1)
    if connection.execute(ended).first() is not None:
        return None
    began: int | None = connection.execute(
        select(func.min(func.coalesce(attempts.c.started_ns, attempts.c.stored_ns)))
    ).scalar()
    return began


def runs(connection: Connection, specs: Specs, since_ns: int) -> tuple[Run, ...]:
    """Attempts that had not ended before a time, once for each node, by when they began."""
    began = func.coalesce(attempts.c.started_ns, attempts.c.stored_ns)
    query = (
        select(
            attempts.c.id,
            attempts.c.pool,
            *resources_columns(attempts),
            attempts.c.ended_ns,
            jobs.c.user,
            jobs.c.spec_id,
            began,
        )
        .join(jobs, jobs.c.seq == attempts.c.job_seq)
        .where(attempts.c.ended_ns.is_(None) | (attempts.c.ended_ns >= since_ns))
        .order_by(began)
    )
    found: list[Run] = []
    # There may be a million: their columns are not asked for by name, and other threads go on while they are fetched.
    for rows in connection.execute(query).partitions(_AT_ONCE):
        needs = specs.needs(connection, {spec_id for *_, spec_id, _ in rows})
        for attempt_id, pool, cpus, memory, gpus, model, disk, ended_ns, user, spec_id, began_ns in rows:
            environment, nodes, wants = needs[spec_id]
            run = Run(
                attempt_id=attempt_id,
                user=user,
                pool=pool,
                environment=environment,
                resources=shared(cpus, memory, gpus, model, disk),
                wants=wants,
                started_ns=began_ns,
                ended_ns=ended_ns,
            )
            found += [run] * nodes
    return tuple(found)


def runtimes(connection: Connection, user: str, name: str, limit: int) -> tuple[float, ...]:
    """Seconds that the last succeeded attempts ran, newest first."""
    last = (
        select(jobs.c.seq, jobs.c.ended_ns)
        .where(SUCCEEDED, jobs.c.user == user, jobs.c.name == name)
        .order_by(jobs.c.ended_ns.desc())
        .limit(limit)
        .subquery()
    )
    query = (
        select(attempts.c.started_ns, attempts.c.ended_ns)
        .join(last, last.c.seq == attempts.c.job_seq)
        .where(attempts.c.state == "succeeded", attempts.c.started_ns.is_not(None), attempts.c.ended_ns.is_not(None))
        .order_by(last.c.ended_ns.desc())
    )
    return tuple((row.ended_ns - row.started_ns) / NS_PER_S for row in connection.execute(query))


def history(connection: Connection, job_id: str) -> tuple[StateChange, ...]:
    """State changes of a job and its attempts, oldest first. Raises UnknownName."""
    query = select(changes).where(changes.c.job_seq == _row(connection, job_id).seq).order_by(changes.c.seq)
    return tuple(
        StateChange(
            at_ns=row.at_ns, job_id=job_id, attempt_id=row.attempt_id, old=row.old, new=row.new, reason=row.reason
        )
        for row in connection.execute(query)
    )


def unknown_job(connection: Connection, job_id: str) -> UnknownName:
    """The error for a job that does not exist, with the nearest that do."""
    tasks = connection.execute(select(func.count()).where(jobs.c.head == job_id)).scalar_one()
    if tasks:
        return UnknownName(f"{job_id!r} is an array: its jobs are {job_id}.0 to {job_id}.{tasks - 1}")
    newest = connection.execute(select(jobs.c.id, jobs.c.name).order_by(jobs.c.seq.desc()).limit(_NEIGHBOURS)).all()
    if named := [row.id for row in newest if row.name == job_id][:3]:
        return UnknownName(f"there is no job with the id {job_id!r}; of that name the latest: {', '.join(named)}")
    before = select(jobs.c.id).where(jobs.c.id < job_id).order_by(jobs.c.id.desc()).limit(5)
    after = select(jobs.c.id).where(jobs.c.id > job_id).order_by(jobs.c.id).limit(5)
    names = {row.id for row in newest}
    names |= {name for query in (before, after) for name in connection.execute(query).scalars()}
    near = get_close_matches(job_id, sorted(names), n=3)
    return UnknownName(f"there is no job {job_id!r}" + (f"; the nearest are {', '.join(near)}" if near else ""))


def _row(connection: Connection, job_id: str) -> Row[Any]:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise unknown_job(connection, job_id)
    return row


def _by_id(ids: Sequence[str]) -> Select[Any]:
    return select(jobs).where(jobs.c.id.in_(ids))
