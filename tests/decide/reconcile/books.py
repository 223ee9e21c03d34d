"""Values for reconciling: lines of bills and of ledgers in one call, and a ledger that takes corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from broker.decide.reconcile import DAY_NS, Agreeing, Rest, covered, gather, reconcile
from broker.model.bills import BillLine, Correction, LedgerLine, LineClass, Measure, Reconciliation
from broker.model.money import NS_PER_HOUR, ZERO, Money
from broker.model.usage import ChargeKind
from broker.testing.store_values import OFFER

NODE = replace(OFFER, provider="aws", usd_per_hour=Decimal("2"))


def billed(cost: str, day: int = 0, **fields: Any) -> BillLine:
    """A whole day of a node on a bill."""
    values: dict[str, Any] = {
        "provider": "aws",
        "resource": "n1",
        "pool": "",
        "attempt": "",
        "started_ns": day * DAY_NS,
        "ended_ns": (day + 1) * DAY_NS,
        "what": LineClass.USAGE,
        "measure": Measure.UNIT,
        "quantity": Decimal(24),
        "cost": Decimal(cost),
        "service": "EC2",
    }
    return BillLine(**values | fields)


def metered(usd: str, day: int = 0, **fields: Any) -> LedgerLine:
    """Charges of a node for a whole day."""
    values: dict[str, Any] = {
        "pool": "home",
        "unit_id": "n1",
        "attempt_id": None,
        "kind": ChargeKind.JOB,
        "day_ns": day * DAY_NS,
        "started_ns": day * DAY_NS,
        "ended_ns": (day + 1) * DAY_NS,
        "duration_ns": 24 * NS_PER_HOUR,
        "metered": Money.of_usd(usd),
        "unknown": 0,
        "corrected": ZERO,
        "corrections": 0,
        "offer": NODE,
    }
    return LedgerLine(**values | fields)


def compared(bill: Sequence[BillLine], ledger: Sequence[LedgerLine], **how: Any) -> Reconciliation:
    """A bill held against a ledger, over the days that it covers."""
    gathered = gather(bill)
    since_ns, until_ns = covered(gathered, how.pop("until_ns", None))
    within = [line for line in ledger if since_ns <= line.started_ns < until_ns]
    if how.pop("at_once", False):
        providers = frozenset(line.provider for line in bill)
        return reconcile(Rest(gathered, within, {}, {}, providers), since_ns, until_ns, **how)
    agreeing = Agreeing(gathered)
    for day_ns in range(since_ns, until_ns, DAY_NS):
        agreeing.day(day_ns, [line for line in within if line.day_ns == day_ns])
    return reconcile(agreeing.rest(), since_ns, until_ns, **how)


def corrected(ledger: Sequence[LedgerLine], corrections: Sequence[Correction]) -> list[LedgerLine]:
    """The ledger after them, summed by the same keys as a store does."""
    found = {_key(line): line for line in ledger}
    for each in corrections:
        charge = each.charge
        assert charge.amount is not None
        line = LedgerLine(
            pool=charge.pool,
            unit_id=charge.unit_id,
            attempt_id=charge.attempt_id,
            kind=charge.kind,
            day_ns=charge.started_ns // DAY_NS * DAY_NS,
            started_ns=charge.started_ns,
            ended_ns=charge.ended_ns,
            duration_ns=0,
            metered=ZERO,
            unknown=0,
            corrected=ZERO,
            corrections=0,
            offer=charge.offer,
        )
        before = found.get(_key(line), line)
        found[_key(line)] = replace(
            before,
            corrected=before.corrected + charge.amount,
            corrections=before.corrections + 1,
            unknown=before.unknown - each.resolves,
        )
    return list(found.values())


def _key(line: LedgerLine) -> tuple[Any, ...]:
    return line.pool, line.unit_id, line.attempt_id, line.kind, line.day_ns, line.offer


def actual(ledger: Sequence[LedgerLine]) -> Money:
    """What a ledger has in all."""
    return Money.total(line.metered + line.corrected for line in ledger)
