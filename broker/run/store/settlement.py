"""Usage and charges → rows: one settlement moves a pool's watermark, and nothing before it is charged again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, func, or_, select, update

from broker.decide.charge import last_holder
from broker.model.errors import Conflict
from broker.model.money import NS_PER_S, Money
from broker.model.offers import Offer
from broker.model.usage import ACTUAL, AttemptUsage, Charge, UnitUsage, UsageReport
from broker.run.store.charging import charged
from broker.run.store.engine import upsert
from broker.run.store.rows import (
    Values,
    charge_of,
    charge_values,
    offer_of,
    offer_values,
    unit_of,
    unit_values,
    usage_values,
)
from broker.run.store.specs import chunks, keep_once
from broker.run.store.spending import unknown
from broker.run.store.tables import (
    OPEN_UNIT,
    attempt_usage,
    attempts,
    charges,
    jobs,
    prices_used,
    units,
    watermarks,
)


def watermark(connection: Connection, pool: str) -> int:
    """Up to when a pool has been settled; 0 at first."""
    return connection.execute(select(watermarks.c.at_ns).where(watermarks.c.pool == pool)).scalar() or 0


def open_units(connection: Connection, pool: str) -> tuple[UnitUsage, ...]:
    """Units that had not ended at the last settlement, with the attempt that held each last."""
    query = select(units).where(OPEN_UNIT, units.c.pool == pool).order_by(units.c.started_ns, units.c.unit_id)
    return tuple(unit_of(row) for row in connection.execute(query))


def cold_starts(connection: Connection, pool: str, limit: int) -> tuple[float, ...]:
    """Seconds that the last units of a pool took to be ready, newest first."""
    asked_ns = func.coalesce(units.c.asked_ns, units.c.started_ns)
    query = (
        select(units.c.ready_ns - asked_ns)
        .where(units.c.pool == pool, units.c.ready_ns.is_not(None), units.c.head.is_(False))
        .order_by(units.c.started_ns.desc())
        .limit(limit)
    )
    return tuple(took_ns / NS_PER_S for took_ns in connection.execute(query).scalars())


def settle(connection: Connection, pool: str, report: UsageReport, added: Sequence[Charge]) -> None:
    """Stores usage and charges, and moves the watermark. Raises Conflict for a charge of settled time."""
    settled = watermark(connection, pool)
    fresh = _fresh(connection, added)
    for charge in fresh:
        if charge.book in ACTUAL and (charge.started_ns < settled or report.as_of_ns < settled):
            raise Conflict(
                f"pool {pool} is settled up to {settled}: charge {charge.key} begins at {charge.started_ns}, "
                "so that time would be charged twice; nothing was stored"
            )
    if report.as_of_ns < settled:
        return
    _usage(connection, pool, settled, report)
    if fresh:
        charged(connection, charge_rows(connection, fresh))
    upsert(connection, watermarks, [{"pool": pool, "at_ns": report.as_of_ns}])


def find_charges(
    connection: Connection, job_id: str | None, pool: str | None, since_ns: int | None, until_ns: int | None
) -> tuple[Charge, ...]:
    """Charges of a job (or all tasks of an array), of a pool, or of both, that begin in a time; oldest first."""
    query = select(charges).order_by(charges.c.started_ns, charges.c.seq)
    if job_id is not None:
        named = or_(jobs.c.id == job_id, jobs.c.head == job_id)
        query = query.where(charges.c.job_seq.in_(select(jobs.c.seq).where(named)))
    if pool is not None:
        query = query.where(charges.c.pool == pool)
    if since_ns is not None:
        query = query.where(charges.c.started_ns >= since_ns)
    if until_ns is not None:
        query = query.where(charges.c.started_ns < until_ns)
    rows = connection.execute(query).all()
    offers = offers_of(connection, {row.price_id for row in rows if row.price_id is not None})
    return tuple(charge_of(row, offers.get(row.price_id)) for row in rows)


def job_costs(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, tuple[Money, int]]:
    """What each job is known to have cost, and how many of its charges lack a price."""
    costs = {job_id: (Money(0), 0) for job_id in job_ids}
    for chunk in chunks(dict.fromkeys(job_ids)):
        query = (
            select(jobs.c.id, func.sum(charges.c.amount), unknown())
            .join(charges, charges.c.job_seq == jobs.c.seq)
            .where(jobs.c.id.in_(chunk), charges.c.book.in_(ACTUAL))
            .group_by(jobs.c.id)
        )
        costs.update({job_id: (Money(int(known or 0)), int(n)) for job_id, known, n in connection.execute(query)})
    return costs


def _fresh(connection: Connection, added: Sequence[Charge]) -> list[Charge]:
    by_key = {charge.key: charge for charge in added}
    for chunk in chunks(list(by_key)):
        for key in connection.execute(select(charges.c.key).where(charges.c.key.in_(chunk))).scalars():
            del by_key[key]
    return list(by_key.values())


def _usage(connection: Connection, pool: str, settled: int, report: UsageReport) -> None:
    stored = {unit.unit_id: unit for unit in open_units(connection, pool)}
    last = {unit_id: unit.last_attempt for unit_id, unit in stored.items()}
    held: dict[str, list[AttemptUsage]] = {}
    for usage in report.attempts:
        held.setdefault(usage.unit_id, []).append(usage)
    for unit_id, usages in held.items():
        last[unit_id] = last_holder(usages, report.as_of_ns) or last.get(unit_id)
    rows = [unit_values(pool, unit) | {"last_attempt": last.get(unit.unit_id)} for unit in report.units]
    for row in rows:
        # What ends at the report's own time or after is settled, and closed, by the next settlement.
        if row["ended_ns"] is not None and row["ended_ns"] >= report.as_of_ns:
            row["ended_ns"] = None
    upsert(connection, units, rows)
    upsert(connection, attempt_usage, [usage_values(pool, usage) for usage in report.attempts])
    gone = stored.keys() - {unit.unit_id for unit in report.units}
    for chunk in chunks(sorted(gone)):
        vanished = update(units).where(units.c.pool == pool, units.c.unit_id.in_(chunk))
        connection.execute(vanished.values(ended_ns=settled))


def charge_rows(connection: Connection, fresh: Sequence[Charge], *, predicted: bool = True) -> list[Values]:
    """New charges as rows, by when they begin; `predicted`: an attempt's first takes over what was predicted."""
    names = {charge.attempt_id for charge in fresh if charge.attempt_id is not None}
    job_seqs: dict[str | None, int] = {}
    estimates: dict[str | None, int] = {}
    for chunk in chunks(sorted(names)):
        known = select(charges.c.attempt_id).where(charges.c.attempt_id.in_(chunk))
        query = select(
            attempts.c.id, attempts.c.job_seq, attempts.c.predicted, attempts.c.id.in_(known).label("charged")
        )
        for row in connection.execute(query.where(attempts.c.id.in_(chunk))):
            job_seqs[row.id] = row.job_seq
            if predicted and not row.charged:
                estimates[row.id] = row.predicted
    prices = {
        offer: keep_once(connection, prices_used, offer_values(offer), "hash")
        for offer in {x.offer for x in fresh if x.offer is not None}
    }
    return [
        charge_values(charge)
        | {
            "job_seq": job_seqs.get(charge.attempt_id),
            # What was predicted stands on an attempt's first charge alone, so that sums count it once.
            "predicted": estimates.pop(charge.attempt_id, None) if charge.book in ACTUAL else None,
            "price_id": prices[charge.offer] if charge.offer else None,
        }
        for charge in sorted(fresh, key=lambda charge: charge.started_ns)
    ]


def offers_of(connection: Connection, price_ids: Iterable[int]) -> dict[int, Offer]:
    """The frozen prices of these keys."""
    offers: dict[int, Offer] = {}
    for chunk in chunks(sorted(price_ids)):
        query = select(prices_used).where(prices_used.c.id.in_(chunk))
        offers.update({row.id: offer_of(row) for row in connection.execute(query)})
    return offers
