"""New values of jobs and attempts, their changes and placements → rows, when every move is a legal one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, Select, Table, Update, bindparam, func, insert, or_, select, update

from broker.model.errors import Conflict
from broker.model.jobs import ATTEMPT_MOVES, JOB_MOVES, Attempt, AttemptState, Job, JobState, StateChange
from broker.model.placement import Placement, Verdict
from broker.run.store.job_counts import count_in
from broker.run.store.placement_json import dump_placement
from broker.run.store.reading import unknown_job
from broker.run.store.rows import Values, attempt_values
from broker.run.store.specs import Specs, chunks, places, places_of, put
from broker.run.store.tables import CANCELLING, attempts, changes, jobs, placements

State = TypeVar("State", JobState, AttemptState)


def _moving(table: Table, columns: Iterable[str]) -> Update:
    return update(table).where(table.c.id == bindparam("row")).values({name: bindparam(name) for name in columns})


# Made once: to make a statement takes longer than to have it carried out.
_INTO_ATTEMPTS: Final = insert(attempts)
_INTO_CHANGES: Final = insert(changes).inline()
_INTO_PLACEMENTS: Final = insert(placements).inline()
_INTO_POOL: Final = update(jobs).where(jobs.c.id == bindparam("row")).values(pool=bindparam("in_pool"))
_BEGINS: Final = _INTO_POOL.returning(jobs.c.seq)
_MOVE_JOBS: Final = _moving(
    jobs, ("state", "not_before_ns", "attempts", "reason", "started_ns", "ended_ns", "exit_code")
)
_MOVING: Final = ("state", "started_ns", "ended_ns", "exit_code", "signal", "reason")  # columns of an attempt
_MOVE_ATTEMPTS: Final = _moving(attempts, _MOVING)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is to be recorded, all or none."""

    jobs: Sequence[Job] = ()
    attempts: Sequence[Attempt] = ()
    changes: Sequence[StateChange] = ()
    placements: Sequence[Placement] = ()


def record(connection: Connection, news: News) -> None:
    """Writes it. Raises Conflict for a move that is not legal, UnknownName for a job that does not exist."""
    named = {job.id for job in news.jobs}
    for items in (news.attempts, news.changes, news.placements):
        named |= {item.job_id for item in items}
    stored = _stored_jobs(connection, named)
    seqs = {job_id: seq for job_id, (seq, _) in stored.items()}
    moved = _jobs(connection, news.jobs, {job_id: state for job_id, (_, state) in stored.items()})
    # Placements first: a new attempt takes over what the placement before it predicted.
    _placements(connection, news.placements, seqs)
    _attempts(connection, news, seqs)
    if news.changes:
        connection.execute(_INTO_CHANGES, [_change(change, seqs[change.job_id]) for change in news.changes])
    count_in(connection, moved)


def begin(connection: Connection, queued: Job, job: Job, attempt: Attempt, change: StateChange, how: Placement) -> None:
    """Writes the first attempt of a job that this transaction has stored, as what it becomes: nothing of it is older.

    Raises as `record`.
    """
    for job_id in {attempt.job_id, change.job_id, how.job_id} - {queued.id}:
        raise unknown_job(connection, job_id)
    _check("job", job.id, queued.state, job.state, JOB_MOVES)
    seq = connection.execute(_BEGINS, {"row": job.id, "in_pool": attempt.pool}).scalar_one()
    placed = _placement(how, seq)
    connection.execute(_INTO_PLACEMENTS, placed)
    runs_there = how.verdict is Verdict.RUN and placed["pool"] == attempt.pool
    expected = {"predicted": placed["predicted"] if runs_there else None, "reserved": _reserved([how]).get(job.id)}
    connection.execute(_INTO_ATTEMPTS, attempt_values(attempt, seq) | expected)
    connection.execute(_INTO_CHANGES, _change(change, seq))


def request_cancel(connection: Connection, specs: Specs, job_ids: Sequence[str]) -> tuple[Job, ...]:
    """Marks jobs and tasks of arrays that have not ended; those that are marked. Raises UnknownName."""
    marked: list[Row[Any]] = []
    for chunk in chunks(dict.fromkeys(job_ids)):
        named = or_(jobs.c.id.in_(chunk), jobs.c.head.in_(chunk))
        found = connection.execute(select(jobs.c.id, jobs.c.head).where(named)).all()
        known = {name for row in found for name in row}
        for missing in (name for name in chunk if name not in known):
            raise unknown_job(connection, missing)
        running = [state.value for state in JobState if not state.ended]
        connection.execute(update(jobs).where(named, jobs.c.state.in_(running)).values(cancel_requested=True))
        marked += connection.execute(select(jobs).where(named, CANCELLING).order_by(jobs.c.seq)).all()
    return specs.shown(connection, marked)


def _stored_jobs(connection: Connection, job_ids: Collection[str]) -> dict[str, tuple[int, JobState]]:
    stored = {}
    for chunk in chunks(sorted(job_ids)):
        rows = connection.execute(_jobs_of(places(chunk)), put("id", chunk))
        stored.update({row.id: (row.seq, JobState(row.state)) for row in rows})
    for missing in sorted(job_ids - stored.keys()):
        raise unknown_job(connection, missing)
    return stored


@lru_cache
def _jobs_of(number: int) -> Select[Any]:
    return select(jobs.c.id, jobs.c.seq, jobs.c.state).where(jobs.c.id.in_(places_of("id", number))).with_for_update()


@lru_cache
def _attempts_of(number: int) -> Select[Any]:
    return select(attempts.c.id, attempts.c.state).where(attempts.c.id.in_(places_of("id", number))).with_for_update()


def _jobs(connection: Connection, changed: Iterable[Job], states: dict[str, JobState]) -> Counter[JobState]:
    """Writes them; how many more there are in each state now."""
    values, moved = [], Counter[JobState]()
    for job in changed:
        _check("job", job.id, states[job.id], job.state, JOB_MOVES)
        moved[states[job.id]] -= 1
        moved[job.state] += 1
        states[job.id] = job.state
        values.append(
            {
                "row": job.id,
                "state": job.state.value,
                "not_before_ns": job.not_before_ns,
                "attempts": job.attempts,
                "reason": job.reason,
                "started_ns": job.started_ns,
                "ended_ns": job.ended_ns,
                "exit_code": job.exit_code,
            }
        )
    if values:
        connection.execute(_MOVE_JOBS, values)
    return moved


def _attempts(connection: Connection, news: News, seqs: Mapping[str, int]) -> None:
    states: dict[str, AttemptState] = {}
    for chunk in chunks(sorted({attempt.id for attempt in news.attempts})):
        rows = connection.execute(_attempts_of(places(chunk)), put("id", chunk))
        states.update({row.id: AttemptState(row.state) for row in rows})
    fresh, changed = [], []
    for attempt in news.attempts:
        if attempt.id in states:
            _check("attempt", attempt.id, states[attempt.id], attempt.state, ATTEMPT_MOVES)
            changed.append(attempt)
        else:
            fresh.append(attempt)
        states[attempt.id] = attempt.state
    _insert_attempts(connection, fresh, seqs, _reserved(news.placements))
    _update_attempts(connection, changed)


def _reserved(decided: Sequence[Placement]) -> dict[str, int | None]:
    """What jobs that begin may cost: the 90 % quantile of what was chosen."""
    return {
        each.job_id: each.chosen.p90_full.nanodollars if each.chosen.p90_full is not None else None
        for each in decided
        if each.verdict is Verdict.RUN and each.chosen is not None
    }


def _insert_attempts(
    connection: Connection, fresh: Sequence[Attempt], seqs: Mapping[str, int], reserved: Mapping[str, int | None]
) -> None:
    if not fresh:
        return
    predicted = _predicted(connection, {seqs[attempt.job_id] for attempt in fresh})
    connection.execute(
        _INTO_ATTEMPTS,
        [
            {
                **attempt_values(attempt, seqs[attempt.job_id]),
                "predicted": predicted.get((seqs[attempt.job_id], attempt.pool)),
                "reserved": reserved.get(attempt.job_id),
            }
            for attempt in fresh
        ],
    )
    connection.execute(_INTO_POOL, [{"row": attempt.job_id, "in_pool": attempt.pool} for attempt in fresh])


def _update_attempts(connection: Connection, changed: Sequence[Attempt]) -> None:
    if not changed:
        return
    connection.execute(
        _MOVE_ATTEMPTS,
        [
            {"row": attempt.id, **{name: getattr(attempt, name) for name in _MOVING}, "state": attempt.state.value}
            for attempt in changed
        ],
    )


def _placements(connection: Connection, decided: Sequence[Placement], seqs: Mapping[str, int]) -> None:
    last = {seq: (row.verdict, row.reason) for seq, row in _last(connection, {seqs[x.job_id] for x in decided}).items()}
    values: list[Values] = []
    for placement in decided:
        seq = seqs[placement.job_id]
        decision = (placement.verdict.value, placement.reason)
        if placement.verdict is Verdict.WAIT and last.get(seq) == decision:
            continue
        last[seq] = decision
        values.append(_placement(placement, seq))
    if values:
        connection.execute(_INTO_PLACEMENTS, values)


def _last(connection: Connection, seqs: Collection[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for chunk in chunks(sorted(seqs)):
        rows = connection.execute(_last_of(places(chunk)), put("job_seq", chunk))
        found.update({row.job_seq: row for row in rows})
    return found


@lru_cache
def _last_of(number: int) -> Select[Any]:
    mine = placements.c.job_seq.in_(places_of("job_seq", number))
    newest = select(func.max(placements.c.seq)).where(mine).group_by(placements.c.job_seq)
    said = (placements.c.verdict, placements.c.reason, placements.c.pool, placements.c.predicted)
    return select(placements.c.job_seq, *said).where(placements.c.seq.in_(newest))


def _predicted(connection: Connection, seqs: Collection[int]) -> dict[tuple[int, str], int | None]:
    last = _last(connection, seqs)
    return {(seq, row.pool): row.predicted for seq, row in last.items() if row.verdict == Verdict.RUN.value}


def _placement(placement: Placement, seq: int) -> Values:
    full = placement.chosen.full if placement.chosen else None
    return {
        "job_seq": seq,
        "at_ns": placement.at_ns,
        "verdict": placement.verdict.value,
        "reason": placement.reason,
        "pool": placement.chosen.pool if placement.chosen else None,
        "predicted": full.nanodollars if full is not None else None,
        "body": dump_placement(placement),
    }


def _change(change: StateChange, seq: int) -> Values:
    return {
        "job_seq": seq,
        "attempt_id": change.attempt_id,
        "at_ns": change.at_ns,
        "old": change.old,
        "new": change.new,
        "reason": change.reason,
    }


def _check(what: str, name: str, stored: State, wanted: State, moves: Mapping[State, frozenset[State]]) -> None:
    if wanted is not stored and wanted not in moves[stored]:
        raise Conflict(f"{what} {name} is {stored.value} and can't become {wanted.value}: nothing was changed")
