"""JobFilter → one page of jobs, newest first, by an ordered index scan for each state.

A page costs the same whether a thousand or a million jobs have ended: the cursor is the place in the order where the
page before it stopped, and no index scan goes further than the page is long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from broker.model.errors import InvalidInput
from broker.model.jobs import Attempt, JobState
from broker.model.money import ZERO
from broker.model.query import ArraySummary, JobFilter, JobPage
from broker.run.store.array_costs import costs_of, unsettled
from broker.run.store.reading import ATTEMPTS, counts_of
from broker.run.store.rows import attempt_of
from broker.run.store.specs import Specs, chunks
from broker.run.store.tables import attempts, job_tags, jobs, tags


class Place(NamedTuple):
    """Where a row is in the order of the list."""

    submitted_ns: int
    seq: int


_BEGINNING: Final = Place(2**63 - 1, 2**63 - 1)
_AFTER_NS: Final = bindparam("after_ns", type_=BigInteger)
_AFTER_SEQ: Final = bindparam("after_seq", type_=BigInteger)
_AT_MOST: Final = bindparam("at_most", type_=Integer)
_MANY: Final = 1_000  # jobs of a tag: that many are read without looking for a better way
_MOST_SCANS: Final = 300  # merged in one statement: SQLite takes no more than 500
_NO_TAG: Final = -1
_NOTHING: Final = (ZERO, 0)
_SHAPES: Final = 256  # of filters whose statements are kept
_TAG_ID: Final = select(tags.c.id).where(tags.c.key == bindparam("key"), tags.c.value == bindparam("value"))
_SOME: Final = select(job_tags.c.job_seq).where(job_tags.c.tag_id == bindparam("tag_id")).limit(_MANY).subquery()
_NUMBER: Final = select(func.count()).select_from(_SOME)


def page(connection: Connection, specs: Specs, wanted: JobFilter, *, collapse: bool) -> JobPage:
    """One page. Raises InvalidInput for a cursor that is none."""
    after, scan = _start(wanted), _Scan(connection, wanted)
    found = _collapsed(scan, after, wanted.limit + 1) if collapse else scan.rows(after, wanted.limit + 1)
    shown, more = found[: wanted.limit], len(found) > wanted.limit
    by_seq = {row.seq: row for row in _full(connection, shown)}
    single = [by_seq[row.seq] for row in shown if not collapse or row.array_index is None]
    arrays = [by_seq[row.seq] for row in shown if collapse and row.array_index is not None]
    last = (scan.array_end(shown[-1]) if collapse else _place_of(shown[-1])) if more else None
    return JobPage(
        jobs=specs.shown(connection, single),
        arrays=_summaries(connection, arrays),
        last_attempts=_last_attempts(connection, single),
        next_cursor=f"{last.submitted_ns}-{last.seq}" if last else None,
    )


def _start(wanted: JobFilter) -> Place:
    """The place after which the page begins: the cursor's, or the end of the period where that is earlier."""
    start = _BEGINNING if wanted.until_ns is None else Place(wanted.until_ns, 0)
    if wanted.cursor is None:
        return start
    submitted, _, seq = wanted.cursor.partition("-")
    if not (submitted.isdecimal() and seq.isdecimal()):
        raise InvalidInput(f"{wanted.cursor!r} is no cursor of a list: use next_cursor of the page before")
    return min(start, _BEGINNING, Place(int(submitted), min(int(seq), _BEGINNING.seq)))


def _place_of(row: Row[Any]) -> Place:
    return Place(row.submitted_ns, row.seq)


class _Scan:
    """One filter's statement, built once and run from place to place."""

    def __init__(self, connection: Connection, wanted: JobFilter) -> None:
        self._connection = connection
        tag_ids, by_tag = _tags_of(connection, wanted) if wanted.tags else ([], False)
        self._statement = _statement(_Shape.of(wanted, len(tag_ids), by_tag))
        self._values = _values_of(wanted, tag_ids)

    def rows(self, after: Place, limit: int) -> Sequence[Row[Any]]:
        """Places of the next matching jobs."""
        place = {"after_ns": after.submitted_ns, "after_seq": after.seq, "at_most": limit}
        return self._connection.execute(self._statement, {**self._values, **place}).all()

    def array_end(self, row: Row[Any]) -> Place:
        """The place of the last row in the order that belongs to the same array, or is this job."""
        if row.array_index is None:
            return _place_of(row)
        return Place(row.submitted_ns, self._connection.execute(_first_of_array(), {"head": row.head}).scalar_one())


class _Shape(NamedTuple):
    """What a filter asks for, without the values: filters of one shape have one statement."""

    states: tuple[JobState, ...]
    tags: int
    by_tag: bool  # the jobs of its first tag are scanned, not those of each state
    projects: int | None  # None: of all
    user: bool
    name: bool
    pool: bool
    array: bool
    since: bool

    @classmethod
    def of(cls, wanted: JobFilter, tags: int, by_tag: bool) -> _Shape:
        """The shape of a filter with so many tags."""
        given = (wanted.user, wanted.name, wanted.pool, wanted.array_id, wanted.since_ns)
        projects = None if wanted.projects is None else len(wanted.projects)
        states = tuple(sorted(wanted.states))
        return cls(states, tags, by_tag, projects, *(value is not None for value in given))


def _values_of(wanted: JobFilter, tag_ids: Sequence[int]) -> dict[str, Any]:
    """The values of a filter by the names that they have in its statement."""
    projects = sorted(wanted.projects or ())
    return {
        "user": wanted.user,
        "name": wanted.name,
        "pool": wanted.pool,
        "array": wanted.array_id,
        "since_ns": wanted.since_ns,
        "projects": projects,
        **{f"project_{place}": project for place, project in enumerate(projects)},
        **{f"tag_{place}": tag_id for place, tag_id in enumerate(tag_ids)},
    }


@lru_cache(maxsize=_SHAPES)
def _statement(shape: _Shape) -> Select[Any]:
    return _tagged(shape) if shape.by_tag else _by_state(shape)


@lru_cache
def _first_of_array() -> Select[Any]:
    # One look into the index for each state: an array that was retried in part has no task 0.
    firsts = [
        select(jobs.c.seq)
        .where(jobs.c.head == bindparam("head"), jobs.c.state == state.value)
        .order_by(jobs.c.submitted_ns, jobs.c.seq)
        .limit(1)
        for state in JobState
    ]
    either = union_all(*(select(first.subquery()) for first in firsts)).subquery()
    return select(func.min(either.c.seq))


def _collapsed(scan: _Scan, after: Place, limit: int) -> list[Row[Any]]:
    """Places of the next single jobs and, for each array, of one matching task."""
    found: list[Row[Any]] = []
    while len(found) < limit:
        batch = scan.rows(after, limit)
        for row in batch:
            if row.array_index is None or not found or row.head != found[-1].head:
                found.append(row)
        if len(batch) < limit:
            break
        # The rest of an array is jumped over, however long it is.
        after = scan.array_end(batch[-1])
    return found[:limit]


def _by_state(shape: _Shape) -> Select[Any]:
    """Merges one ordered scan for each state: no index has several states in the order of the list."""
    states = shape.states or tuple(sorted(JobState))
    period = _period(shape, jobs.c.submitted_ns, jobs.c.seq)
    # Nor has one several projects, of which there may be too many to scan each: then they are told apart in the scan.
    names = [bindparam(f"project_{place}", type_=jobs.c.project.type) for place in range(shape.projects or 0)]
    apart = [[jobs.c.project == name] for name in names] if 0 < len(names) * len(states) <= _MOST_SCANS else [[]]
    scans = [
        _matching(shape, range(shape.tags))
        .where(jobs.c.state == state.value, *project, *period)
        .order_by(jobs.c.submitted_ns.desc(), jobs.c.seq.desc())
        .limit(_AT_MOST)
        for state in states
        for project in apart
    ]
    merged = union_all(*(select(scan.subquery()) for scan in scans)).subquery()
    return select(merged).order_by(merged.c.submitted_ns.desc(), merged.c.seq.desc()).limit(_AT_MOST)


def _tags_of(connection: Connection, wanted: JobFilter) -> tuple[list[int], bool]:
    """The tags, the rarest first, and whether its jobs are to be scanned.

    Where it is of many, those are that something else narrows down more.
    """
    found = []
    for key, value in wanted.tags.items():
        tag_id = connection.execute(_TAG_ID, {"key": key, "value": value}).scalar() or _NO_TAG
        found.append((connection.execute(_NUMBER, {"tag_id": tag_id}).scalar_one(), tag_id))
    found.sort()
    narrowed = bool(wanted.user or wanted.name or wanted.array_id)
    return [tag_id for _, tag_id in found], found[0][0] < _MANY or not narrowed


def _tagged(shape: _Shape) -> Select[Any]:
    """Scans the jobs of the rarest tag in order."""
    query = _matching(shape, range(1, shape.tags))
    query = query.join(job_tags, job_tags.c.job_seq == jobs.c.seq).where(job_tags.c.tag_id == bindparam("tag_0"))
    query = query.where(*_period(shape, job_tags.c.submitted_ns, job_tags.c.job_seq))
    if shape.states:
        query = query.where(jobs.c.state.in_([state.value for state in shape.states]))
    return query.order_by(job_tags.c.submitted_ns.desc(), job_tags.c.job_seq.desc()).limit(_AT_MOST)


def _matching(shape: _Shape, places_of_tags: Iterable[int]) -> Select[Any]:
    query = select(jobs.c.submitted_ns, jobs.c.seq, jobs.c.head, jobs.c.array_index)
    for place in places_of_tags:
        also = job_tags.alias()
        has = also.c.tag_id == bindparam(f"tag_{place}")
        query = query.where(select(1).where(also.c.job_seq == jobs.c.seq, has).exists())
    if shape.projects is not None:
        query = query.where(jobs.c.project.in_(bindparam("projects", expanding=True)))
    if shape.array:
        query = query.where(jobs.c.head == bindparam("array"), jobs.c.array_index.is_not(None))
    for column, asked in ((jobs.c.user, shape.user), (jobs.c.name, shape.name), (jobs.c.pool, shape.pool)):
        if asked:
            query = query.where(column == bindparam(column.name))
    return query


def _period(shape: _Shape, submitted: Any, seq: Any) -> list[ColumnElement[bool]]:
    # The first condition bounds the index scan; the second finds the place among jobs of the same moment.
    where: list[ColumnElement[bool]] = [
        submitted <= _AFTER_NS,
        or_(submitted < _AFTER_NS, seq < _AFTER_SEQ),
    ]
    if shape.since:
        where.append(submitted >= bindparam("since_ns", type_=BigInteger))
    return where


def _full(connection: Connection, places: Sequence[Row[Any]]) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for chunk in chunks(row.seq for row in places):
        rows += connection.execute(select(jobs).where(jobs.c.seq.in_(chunk))).all()
    return rows


def _summaries(connection: Connection, tasks: Sequence[Row[Any]]) -> tuple[ArraySummary, ...]:
    """The arrays that these tasks are of."""
    names = [task.head for task in tasks]
    numbers, costs = counts_of(connection, names), costs_of(connection, names)
    ended = [name for name in names if all(state.ended for state in numbers[name])]
    late = unsettled(connection, ended) if ended else frozenset()
    return tuple(
        ArraySummary(
            array_id=task.head,
            name=task.name,
            user=task.user,
            project=task.project,
            submitted_ns=task.submitted_ns,
            counts=numbers[task.head],
            known=costs.get(task.head, _NOTHING)[0],
            unpriced=costs.get(task.head, _NOTHING)[1],
            settled=task.head not in late,
        )
        for task in tasks
    )


def _last_attempts(connection: Connection, rows: Sequence[Row[Any]]) -> dict[str, Attempt]:
    last: dict[str, Attempt] = {}
    for chunk in chunks(row.seq for row in rows if row.pool is not None):
        query = ATTEMPTS.where(attempts.c.job_seq.in_(chunk)).order_by(attempts.c.job_seq, attempts.c.number)
        last.update({row.job_id: attempt_of(row) for row in connection.execute(query)})
    return last
