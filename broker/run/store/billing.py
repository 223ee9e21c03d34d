"""SpendFilter → lines of a bill: metered charges by day, unit, job, kind and price, summed exactly by the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from broker.model.money import Money
from broker.model.query import SpendFilter
from broker.model.usage import ACTUAL, BilledLine, Book, ChargeKind
from broker.run.store.settlement import offers_of
from broker.run.store.specs import chunks
from broker.run.store.spend_days import DAY_NS
from broker.run.store.spending import unknown, where
from broker.run.store.tables import charges, job_tags, jobs, tags

_DAY: Final = charges.c.started_ns.op("/")(DAY_NS)
_METERED: Final = charges.c.book == Book.METERED.value
_WHAT: Final = (_DAY.label("day"), charges.c.pool, charges.c.unit_id, charges.c.kind, charges.c.job_seq)
_KEYS: Final = (*_WHAT, charges.c.price_id, charges.c.amount.is_(None).label("without"))


def billed(connection: Connection, wanted: SpendFilter) -> tuple[BilledLine, ...]:
    """The lines, by day and in the order of their other keys. What a bill has told the cost of is not unknown."""
    summed = (
        func.sum(charges.c.amount).label("amount"),
        func.sum(case((_METERED, charges.c.ended_ns - charges.c.started_ns), else_=0)).label("duration_ns"),
        unknown().label("unknown"),
    )
    query = (
        select(*_KEYS, *summed, jobs.c.id, jobs.c.name, jobs.c.user)
        .select_from(charges.outerjoin(jobs, jobs.c.seq == charges.c.job_seq))
        .where(charges.c.book.in_(ACTUAL), *where(wanted))
        .group_by(*_KEYS, jobs.c.id, jobs.c.name, jobs.c.user)
        .order_by(*_KEYS)
    )
    rows = connection.execute(query).all()
    unpriced: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        unpriced[tuple(row)[: len(_WHAT)]] += int(row.unknown)
    shown = [row for row in rows if not row.without or unpriced[tuple(row)[: len(_WHAT)]]]
    offers = offers_of(connection, {row.price_id for row in shown if row.price_id is not None})
    labels = _tags(connection, {row.job_seq for row in shown if row.job_seq is not None})
    return tuple(
        BilledLine(
            day_ns=int(row.day) * DAY_NS,
            pool=row.pool,
            unit_id=row.unit_id,
            kind=ChargeKind(row.kind),
            job_id=row.id,
            job_name=row.name or "",
            user=row.user or "",
            tags=labels.get(row.job_seq, {}),
            duration_ns=int(row.duration_ns),
            amount=None if row.without else Money(int(row.amount)),
            offer=offers.get(row.price_id),
        )
        for row in shown
    )


def _tags(connection: Connection, seqs: Collection[int]) -> Mapping[int, Mapping[str, str]]:
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for chunk in chunks(sorted(seqs)):
        query = select(job_tags.c.job_seq, tags.c.key, tags.c.value).join(tags, tags.c.id == job_tags.c.tag_id)
        for row in connection.execute(query.where(job_tags.c.job_seq.in_(chunk))):
            found[row.job_seq][row.key] = row.value
    return found
