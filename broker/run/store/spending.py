"""SpendFilter → rows of a spend report, grouped and summed exactly by the database.

A charge counts where it begins: settlements cut at midnight UTC, so that none reaches over a day. Whole days are read
from their sums, the rest of a period from its charges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select, union_all
from sqlalchemy.sql.selectable import FromClause

from broker.model.errors import InvalidInput
from broker.model.money import Money
from broker.model.query import SpendFilter
from broker.model.usage import ACTUAL, Book, ChargeKind, SpendRow
from broker.run.store import spend_days
from broker.run.store.spend_days import DAY_NS, NANO
from broker.run.store.tables import charges, job_tags, jobs, tags

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).date()
_COLUMNS: Final[dict[str, ColumnElement[Any]]] = {
    "job": jobs.c.id,
    "user": func.coalesce(jobs.c.user, ""),
    "project": jobs.c.project,
    "name": jobs.c.name,
    "pool": charges.c.pool,
    "kind": charges.c.kind,
    "day": charges.c.started_ns.op("/")(DAY_NS),
}
_TAG: Final = "tag:"
_SUMS: Final = ("job", "overhead", "corrected", "unknown", "predicted", "predicted_usd", "number")


def spend(connection: Connection, wanted: SpendFilter) -> tuple[SpendRow, ...]:
    """The rows, in the order of their groups. Raises InvalidInput for a column that does not exist."""
    parts = union_all(*_parts(wanted)).subquery()
    groups = [parts.c[_label(number)] for number in range(len(wanted.by))]
    query = select(*groups, *(func.sum(parts.c[name]).label(name) for name in _SUMS)).group_by(*groups)
    rows = (_row(row, wanted.by) for row in connection.execute(query) if row.number)
    return tuple(sorted(rows, key=lambda row: row.group))


def _parts(wanted: SpendFilter) -> Iterator[Select[Any]]:
    """Queries of the sums of times that make up the period together."""
    days = spend_days.whole_days(wanted)
    by_job = wanted.tags or wanted.projects is not None or wanted.job_id is not None
    in_days = not by_job and spend_days.COLUMNS.keys() >= set(wanted.by)
    if days is None or not in_days:
        yield _charged(wanted)
        return
    by = [spend_days.COLUMNS[name].label(_label(number)) for number, name in enumerate(wanted.by)]
    yield spend_days.sums(by, days, wanted)
    first, last = (None if day is None else day * DAY_NS for day in days)
    if first is not None and first != wanted.since_ns:
        yield _charged(replace(wanted, until_ns=first))
    if last is not None and last != wanted.until_ns:
        yield _charged(replace(wanted, since_ns=last))


def _charged(wanted: SpendFilter) -> Select[Any]:
    source: FromClause = charges.outerjoin(jobs, jobs.c.seq == charges.c.job_seq)
    columns = []
    for number, name in enumerate(wanted.by):
        source, column = _column(source, name)
        columns.append(column.label(_label(number)))
    is_job = charges.c.kind == ChargeKind.JOB.value
    return (
        select(
            *columns,
            func.sum(case((is_job, charges.c.amount), else_=0)).label("job"),
            func.sum(case((is_job, 0), else_=charges.c.amount)).label("overhead"),
            func.sum(case((charges.c.book == Book.CORRECTION.value, charges.c.amount), else_=0)).label("corrected"),
            unknown().label("unknown"),
            func.sum(charges.c.predicted.op("%")(NANO)).label("predicted"),
            func.sum(charges.c.predicted.op("/")(NANO)).label("predicted_usd"),
            func.count().label("number"),
        )
        .select_from(source)
        .where(charges.c.book.in_(ACTUAL), *where(wanted))
        .group_by(*columns)
    )


def _label(number: int) -> str:
    return f"group_{number}"


def _column(source: FromClause, name: str) -> tuple[FromClause, ColumnElement[Any]]:
    if name in _COLUMNS:
        return source, _COLUMNS[name]
    if not name.startswith(_TAG):
        raise InvalidInput(f"spend can't be grouped by {name!r}: use {', '.join(_COLUMNS)} or {_TAG}KEY")
    link, tag = job_tags.alias(), tags.alias()
    keyed = select(tags.c.id).where(tags.c.key == name.removeprefix(_TAG))
    source = source.outerjoin(link, (link.c.job_seq == jobs.c.seq) & link.c.tag_id.in_(keyed))
    return source.outerjoin(tag, tag.c.id == link.c.tag_id), tag.c.value


def unknown() -> ColumnElement[int]:
    """How many charges have no price, and no bill has told their cost since."""
    return func.count() - func.count(charges.c.amount) - func.coalesce(func.sum(charges.c.resolves), 0)


def where(wanted: SpendFilter) -> list[ColumnElement[bool]]:
    """The conditions under which charges, joined with their jobs, are taken."""
    found: list[ColumnElement[bool]] = []
    if wanted.since_ns is not None:
        found.append(charges.c.started_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        found.append(charges.c.started_ns < wanted.until_ns)
    if wanted.pool is not None:
        found.append(charges.c.pool == wanted.pool)
    if wanted.user is not None:
        found.append(jobs.c.user == wanted.user)
    if wanted.projects is not None:
        found.append(jobs.c.project.in_(sorted(wanted.projects)))
    if wanted.job_id is not None:
        named = or_(jobs.c.id == wanted.job_id, jobs.c.head == wanted.job_id)
        found.append(charges.c.job_seq.in_(select(jobs.c.seq).where(named).correlate(None)))
    for key, value in wanted.tags.items():
        tagged = select(job_tags.c.job_seq).join(tags, tags.c.id == job_tags.c.tag_id)
        found.append(jobs.c.seq.in_(tagged.where(tags.c.key == key, tags.c.value == value)))
    return found


def _row(row: Any, by: tuple[str, ...]) -> SpendRow:
    # One estimate covers all kinds of charges together: beside one of them it would mislead.
    compared = row.predicted is not None and "kind" not in by
    return SpendRow(
        group=tuple(_shown(name, value) for name, value in zip(by, row, strict=False)),
        job=Money(int(row.job or 0)),
        overhead=Money(int(row.overhead or 0)),
        unknown=int(row.unknown),
        corrected=Money(int(row.corrected or 0)),
        predicted=Money(int(row.predicted) + NANO * int(row.predicted_usd)) if compared else None,
    )


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    return (_EPOCH + timedelta(days=int(value))).isoformat() if name == "day" else str(value)
