"""What the tasks of each array have cost: kept with the charges, so that a list need not add them up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, func, select

from broker.model.money import Money
from broker.model.usage import ACTUAL
from broker.run.store.engine import add_up
from broker.run.store.rows import Values
from broker.run.store.specs import chunks
from broker.run.store.tables import attempts, jobs, metadata, watermarks

# `unpriced` counts charges without a price, less those whose cost a bill has told since.
array_costs: Final = Table(
    "array_costs",
    metadata,
    Column("array_id", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
)
_LATEST: Final = 1_000  # attempts among which those are looked for whose pool is yet to be settled


def count_in(connection: Connection, rows: Sequence[Values], arrays: Mapping[int | None, str]) -> None:
    """Counts in charges that were just stored; `arrays` are those that their jobs are tasks of."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        array_id = arrays.get(row["job_seq"])
        if array_id is None or row["book"] not in ACTUAL:
            continue
        sums[array_id][0] += row["amount"] or 0
        sums[array_id][1] += int(row["amount"] is None) - row.get("resolves", 0)
    # In order, so that two brokers that count in the same arrays don't wait for each other in a circle.
    found = [{"array_id": name, "amount": sums[name][0], "unpriced": sums[name][1]} for name in sorted(sums)]
    add_up(connection, array_costs, found)


def costs_of(connection: Connection, array_ids: Sequence[str]) -> dict[str, tuple[Money, int]]:
    """What arrays are known to have cost, and how many of their charges lack a price; of none without a charge."""
    found: dict[str, tuple[Money, int]] = {}
    for chunk in chunks(array_ids):
        query = select(array_costs).where(array_costs.c.array_id.in_(chunk))
        found |= {row.array_id: (Money(row.amount), row.unpriced) for row in connection.execute(query)}
    return found


def unsettled(connection: Connection, array_ids: Sequence[str]) -> frozenset[str]:
    """Those of some arrays of which tasks ended so lately that their pools are yet to be settled up to then.

    It looks at so many attempts and no more. Where all of those are yet to be settled, all arrays may be.
    """
    last = select(attempts.c.job_seq, attempts.c.pool, attempts.c.ended_ns).order_by(attempts.c.ended_ns.desc())
    oldest = select(func.min(watermarks.c.at_ns)).scalar_subquery()
    ended = last.where(attempts.c.ended_ns > func.coalesce(oldest, 0)).limit(_LATEST).subquery()
    query = (
        select(jobs.c.head, func.count())
        .join(ended, ended.c.job_seq == jobs.c.seq)
        .outerjoin(watermarks, watermarks.c.pool == ended.c.pool)
        .where(ended.c.ended_ns > func.coalesce(watermarks.c.at_ns, 0))
        .group_by(jobs.c.head)
    )
    numbers = {head: int(number) for head, number in connection.execute(query)}
    asked = frozenset(array_ids)
    return asked if sum(numbers.values()) == _LATEST else asked.intersection(numbers)
