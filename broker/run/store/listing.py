"""JobFilter → one page of jobs, newest first, by an ordered index scan for each state.

A page costs the same whether a thousand or a million jobs have ended: the cursor is the place in the order where the
page before it stopped, and no index scan goes further than the page is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, union_all

from broker.model.errors import InvalidInput
from broker.model.jobs import Attempt, JobState
from broker.model.query import ArraySummary, JobFilter, JobPage
from broker.run.store.reading import ATTEMPTS, counts
from broker.run.store.rows import attempt_of
from broker.run.store.specs import Specs, chunks
from broker.run.store.tables import attempts, job_tags, jobs, tags

_BATCH: Final = 200  # rows read at once while tasks are collapsed


class Place(NamedTuple):
    """Where a row is in the order of the list."""

    submitted_ns: int
    seq: int


def page(connection: Connection, specs: Specs, wanted: JobFilter, *, collapse: bool) -> JobPage:
    """One page. Raises InvalidInput for a cursor that is none."""
    after = _cursor(wanted.cursor)
    found = _collapsed(connection, wanted, after) if collapse else _rows(connection, wanted, after, wanted.limit + 1)
    shown, more = found[: wanted.limit], len(found) > wanted.limit
    arrays = [row for row in shown if collapse and row.array_index is not None]
    by_seq = {row.seq: row for row in _full(connection, shown)}
    single = [by_seq[row.seq] for row in shown if not collapse or row.array_index is None]
    return JobPage(
        jobs=specs.jobs(connection, single),
        arrays=tuple(_summary(connection, by_seq[row.seq]) for row in arrays),
        last_attempts=_last_attempts(connection, single),
        next_cursor=_next_cursor(connection, shown[-1], collapse) if more else None,
    )


def _cursor(text: str | None) -> Place | None:
    if text is None:
        return None
    submitted, _, seq = text.partition("-")
    if not (submitted.isdecimal() and seq.isdecimal()):
        raise InvalidInput(f"{text!r} is no cursor of a list: use next_cursor of the page before")
    return Place(int(submitted), int(seq))


def _next_cursor(connection: Connection, last: Row[Any], collapse: bool) -> str:
    place = _array_end(connection, last) if collapse else Place(last.submitted_ns, last.seq)
    return f"{place.submitted_ns}-{place.seq}"


def _rows(connection: Connection, wanted: JobFilter, after: Place | None, limit: int) -> Sequence[Row[Any]]:
    """Places of the next matching jobs."""
    if wanted.tags:
        return connection.execute(_tagged(wanted, after).limit(limit)).all()
    states = wanted.states or frozenset(JobState)
    scans = [_ordered(_matching(wanted, after).where(jobs.c.state == state.value), limit) for state in sorted(states)]
    merged = union_all(*(select(scan.subquery()) for scan in scans)).subquery()
    newest = select(merged).order_by(merged.c.submitted_ns.desc(), merged.c.seq.desc()).limit(limit)
    return connection.execute(newest).all()


def _matching(wanted: JobFilter, after: Place | None) -> Select[Any]:
    where: list[ColumnElement[bool]] = []
    if wanted.array_id is not None:
        where += [jobs.c.head == wanted.array_id, jobs.c.array_index.is_not(None)]
    for column, value in ((jobs.c.user, wanted.user), (jobs.c.name, wanted.name), (jobs.c.pool, wanted.pool)):
        if value is not None:
            where.append(column == value)
    where += _period(wanted, after, jobs.c.submitted_ns, jobs.c.seq)
    return select(jobs.c.submitted_ns, jobs.c.seq, jobs.c.head, jobs.c.array_index).where(*where)


def _tagged(wanted: JobFilter, after: Place | None) -> Select[Any]:
    """Scans the jobs of one tag in order, and keeps those that have the others and match."""
    first, *others = (
        select(tags.c.id).where(tags.c.key == key, tags.c.value == value).scalar_subquery()
        for key, value in wanted.tags.items()
    )
    query = _matching(wanted, None).join(job_tags, job_tags.c.job_seq == jobs.c.seq).where(job_tags.c.tag_id == first)
    query = query.where(*_period(wanted, after, job_tags.c.submitted_ns, job_tags.c.job_seq))
    if wanted.states:
        query = query.where(jobs.c.state.in_([state.value for state in wanted.states]))
    for other in others:
        also = job_tags.alias()
        query = query.where(select(1).where(also.c.job_seq == jobs.c.seq, also.c.tag_id == other).exists())
    return query.order_by(job_tags.c.submitted_ns.desc(), job_tags.c.job_seq.desc())


def _period(wanted: JobFilter, after: Place | None, submitted: Any, seq: Any) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.since_ns is not None:
        where.append(submitted >= wanted.since_ns)
    if wanted.until_ns is not None:
        where.append(submitted < wanted.until_ns)
    if after is not None:
        # The first half alone bounds the index scan; the second finds the place among equals.
        where.append(submitted <= after.submitted_ns)
        where.append(or_(submitted < after.submitted_ns, and_(submitted == after.submitted_ns, seq < after.seq)))
    return where


def _ordered(query: Select[Any], limit: int) -> Select[Any]:
    return query.order_by(jobs.c.submitted_ns.desc(), jobs.c.seq.desc()).limit(limit)


def _collapsed(connection: Connection, wanted: JobFilter, after: Place | None) -> list[Row[Any]]:
    """Places of the next single jobs and, for each array, of one matching task."""
    found: list[Row[Any]] = []
    while len(found) <= wanted.limit:
        batch = _rows(connection, wanted, after, _BATCH)
        for row in batch:
            if row.array_index is None or not any(row.head == earlier.head for earlier in found[-1:]):
                found.append(row)
        if len(batch) < _BATCH:
            break
        # The rest of an array is jumped over, however long it is.
        after = _array_end(connection, batch[-1])
    return found


def _array_end(connection: Connection, row: Row[Any]) -> Place:
    """The place of the last row in the order that belongs to the same array, or is this job."""
    if row.array_index is None:
        return Place(row.submitted_ns, row.seq)
    first = connection.execute(select(func.min(jobs.c.seq)).where(jobs.c.id == f"{row.head}.0")).scalar()
    return Place(row.submitted_ns, first if first is not None else row.seq)


def _full(connection: Connection, places: Sequence[Row[Any]]) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for chunk in chunks(row.seq for row in places):
        rows += connection.execute(select(jobs).where(jobs.c.seq.in_(chunk))).all()
    return rows


def _summary(connection: Connection, task: Row[Any]) -> ArraySummary:
    number = {state: n for state, n in counts(connection, task.head).items() if n}
    return ArraySummary(
        array_id=task.head, name=task.name, user=task.user, submitted_ns=task.submitted_ns, counts=number
    )


def _last_attempts(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, Attempt]:
    last: dict[str, Attempt] = {}
    for chunk in chunks(row.seq for row in rows if row.pool is not None):
        query = ATTEMPTS.where(attempts.c.job_seq.in_(chunk)).order_by(attempts.c.job_seq, attempts.c.number)
        last.update({row.job_id: attempt_of(row) for row in connection.execute(query)})
    return last
