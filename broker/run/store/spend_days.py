"""What each day's charges come to, by pool, kind, book and user: kept with the charges, so that sums read few rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Select, Table, Text, case, func, select

from broker.model.query import SpendFilter
from broker.model.usage import ACTUAL, Book, ChargeKind
from broker.run.store.engine import add_up
from broker.run.store.rows import Values
from broker.run.store.tables import metadata

NANO: Final = 1_000_000_000
DAY_NS: Final = 86_400 * 1_000_000_000
# Sums of charges: `charges` counts them, `priced` those with an amount, `predictions` those with a prediction.
# What many jobs say that they may need is more nanodollars than a number has room for: whole dollars are apart.
spend_days: Final = Table(
    "spend_days",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("pool", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("book", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("predicted", BigInteger, nullable=False),
    Column("charges", BigInteger, nullable=False),
    Column("priced", BigInteger, nullable=False),
    Column("resolves", BigInteger, nullable=False),
    Column("predictions", BigInteger, nullable=False),
    Column("predicted_usd", BigInteger, nullable=False, server_default="0"),  # beside `predicted`
)
COLUMNS: Final[dict[str, ColumnElement[Any]]] = {name: spend_days.c[name] for name in ("day", "pool", "kind", "user")}
_KEY: Final = tuple(column.name for column in spend_days.primary_key)


def count_in(connection: Connection, rows: Sequence[Values], users: Mapping[int | None, str]) -> None:
    """Counts in charges that were just stored; `users` are those whose jobs they are of."""
    sums: defaultdict[tuple[Any, ...], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        key = row["started_ns"] // DAY_NS, row["pool"], row["kind"], row["book"], users[row["job_seq"]]
        for name, value in _counted(row).items():
            sums[key][name] += value
    # In order, so that two brokers that count in the same groups don't wait for each other in a circle.
    add_up(connection, spend_days, [dict(zip(_KEY, key, strict=True)) | sums[key] for key in sorted(sums)])


def _counted(row: Values) -> dict[str, int]:
    dollars, nanodollars = divmod(row["predicted"] or 0, NANO)
    return {
        "amount": row["amount"] or 0,
        "predicted": nanodollars,
        "predicted_usd": dollars,
        "charges": 1,
        "priced": int(row["amount"] is not None),
        "resolves": row.get("resolves", 0),
        "predictions": int(row["predicted"] is not None),
    }


def whole_days(wanted: SpendFilter) -> tuple[int | None, int | None] | None:
    """The days [first, last) that a period holds whole, None where it is open; None where it holds none."""
    first = None if wanted.since_ns is None else -(-wanted.since_ns // DAY_NS)
    last = None if wanted.until_ns is None else wanted.until_ns // DAY_NS
    return None if first is not None and last is not None and first >= last else (first, last)


def sums(by: Sequence[ColumnElement[Any]], days: tuple[int | None, int | None], wanted: SpendFilter) -> Select[Any]:
    """Rows of a spend report over whole days, with the columns of `broker.run.store.spending`."""
    table, (first, last) = spend_days.c, days
    is_job = table.kind == ChargeKind.JOB.value
    query = select(
        *by,
        func.sum(case((is_job, table.amount), else_=0)).label("job"),
        func.sum(case((is_job, 0), else_=table.amount)).label("overhead"),
        func.sum(case((table.book == Book.CORRECTION.value, table.amount), else_=0)).label("corrected"),
        func.sum(table.charges - table.priced - table.resolves).label("unknown"),
        func.sum(case((table.predictions > 0, table.predicted))).label("predicted"),
        func.sum(case((table.predictions > 0, table.predicted_usd))).label("predicted_usd"),
        func.sum(table.charges).label("number"),
    ).where(table.book.in_(ACTUAL))
    if first is not None:
        query = query.where(table.day >= first)
    if last is not None:
        query = query.where(table.day < last)
    for column, value in ((table.pool, wanted.pool), (table.user, wanted.user)):
        if value is not None:
            query = query.where(column == value)
    return query.group_by(*by)
