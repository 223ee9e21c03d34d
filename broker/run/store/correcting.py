"""The ledger by day, unit, kind, attempt and price, and the corrections that bills append to it."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Final

from sqlalchemy import ColumnElement, Connection, case, func, select

from broker.model.acting import about
from broker.model.bills import Correction, LedgerLine
from broker.model.errors import Conflict
from broker.model.money import ZERO, Money
from broker.model.times import day_of
from broker.model.usage import ACTUAL, Book, Charge, ChargeKind
from broker.run.store.charging import charged
from broker.run.store.settlement import charge_rows, offers_of
from broker.run.store.specs import chunks
from broker.run.store.spend_days import DAY_NS
from broker.run.store.spending import unknown
from broker.run.store.tables import charges

_METERED: Final = charges.c.book == Book.METERED.value
_KEYS: Final = (
    charges.c.pool,
    charges.c.unit_id,
    charges.c.kind,
    charges.c.attempt_id,
    charges.c.price_id,
    charges.c.started_ns.op("/")(DAY_NS).label("day"),
)


def ledger(connection: Connection, since_ns: int, until_ns: int, pool: str | None) -> tuple[LedgerLine, ...]:
    """Charges that begin in a time, summed by day, unit, kind, attempt and price."""
    period = (charges.c.started_ns >= since_ns, charges.c.started_ns < until_ns)
    query = (
        select(
            *_KEYS,
            func.min(charges.c.started_ns).label("started_ns"),
            func.max(charges.c.ended_ns).label("ended_ns"),
            _sum(case((_METERED, charges.c.ended_ns - charges.c.started_ns), else_=0)).label("duration_ns"),
            _sum(case((_METERED, charges.c.amount), else_=0)).label("metered"),
            _sum(case((_METERED, 0), else_=charges.c.amount)).label("corrected"),
            _sum(case((_METERED, 0), else_=1)).label("corrections"),
            unknown().label("unknown"),
        )
        .where(charges.c.book.in_(ACTUAL), *period)
        .group_by(*_KEYS)
        .order_by(*_KEYS)
    )
    if pool is not None:
        query = query.where(charges.c.pool == pool)
    prices = select(charges.c.price_id).where(*period, charges.c.price_id.is_not(None)).distinct()
    offers = offers_of(connection, connection.execute(prices).scalars().all())
    # There may be a million: what is the same in many is one object.
    kinds = {kind.value: kind for kind in ChargeKind}
    days: dict[int, int] = {}
    return tuple(
        LedgerLine(
            pool=intern(row.pool),
            unit_id=row.unit_id,
            attempt_id=row.attempt_id,
            kind=kinds[row.kind],
            day_ns=days.setdefault(int(row.day), int(row.day) * DAY_NS),
            started_ns=row.started_ns,
            ended_ns=row.ended_ns,
            duration_ns=int(row.duration_ns),
            metered=Money(int(row.metered)),
            unknown=int(row.unknown),
            corrected=Money(int(row.corrected)) if row.corrected else ZERO,
            corrections=int(row.corrections),
            offer=offers.get(row.price_id),
        )
        for row in connection.execute(query)
    )


def correct(connection: Connection, corrections: Sequence[Correction]) -> int:
    """Appends corrections that are not there yet, and says how many. Raises Conflict, storing nothing."""
    wanted = {each.charge.key: each for each in corrections}
    for chunk in chunks(list(wanted)):
        for row in connection.execute(select(charges.c.key, charges.c.amount).where(charges.c.key.in_(chunk))):
            amount = wanted.pop(row.key).charge.amount
            if amount is None or amount.nanodollars != row.amount:
                raise Conflict("another bill was recorded for the same time meanwhile: reconcile again")
    fresh = sorted(wanted.values(), key=_started)
    about(_in_short([each.charge for each in fresh]))
    if fresh:
        rows = charge_rows(connection, [each.charge for each in fresh], predicted=False)
        charged(connection, [row | {"resolves": each.resolves} for row, each in zip(rows, fresh, strict=True)])
    return len(fresh)


def _in_short(fresh: Sequence[Charge]) -> str:
    """What is recorded, for the audit log."""
    if not fresh:
        return "0 corrections"
    amount = Money.total(each.amount or ZERO for each in fresh)
    days = sorted({day_of(each.started_ns) for each in fresh})
    pools = ", ".join(sorted({each.pool for each in fresh}))
    return f"{len(fresh)} corrections, {amount.usd:f} USD together, from {days[0]} to {days[-1]} in {pools}"


def _started(each: Correction) -> int:
    found: Charge = each.charge
    return found.started_ns


def _sum(values: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(values), 0)
