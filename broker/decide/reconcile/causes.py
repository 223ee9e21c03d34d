"""Both sides of a cell → why they differ: amounts that add up to the difference, to the nanodollar."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from broker.decide.reconcile.gather import Sums
from broker.model.bills import Cause, LedgerLine, Measure
from broker.model.money import NS_PER_HOUR, Money
from broker.model.offers import Offer, Tier

_NANO: Final = Money(1)
_SECOND: Final = Decimal(1) / 3_600


def causes(bill: Sums, ledger: Sequence[LedgerLine], digit: Decimal) -> dict[Cause, Money]:
    """Why a bill is another than the ledger; `digit` is the smallest figure of the bill. Without what is zero.

    The difference of usage is the difference of prices times the time billed, and the difference of times at the
    metered price.
    """
    found = {
        Cause.CREDIT: Money.of_usd(bill.credit),
        Cause.TAX: Money.of_usd(bill.tax),
        Cause.OTHER: Money.of_usd(bill.other),
    }
    metered = Money.total(line.metered for line in ledger)
    over = Money.of_usd(bill.usage) - metered
    last_digit = Money.of_usd(digit * bill.lines / 2) + _NANO
    for cause, amount in _of_usage(bill, ledger, metered, over, last_digit):
        found[cause] = found.get(cause, Money()) + amount
    return {cause: amount for cause, amount in found.items() if amount}


def _of_usage(
    bill: Sums, ledger: Sequence[LedgerLine], metered: Money, over: Money, last_digit: Money
) -> list[tuple[Cause, Money]]:
    if _within(over, last_digit):
        return [(Cause.ROUNDING, over)]
    if any(line.unknown > 0 for line in ledger):
        return [(Cause.RATE, over)]
    if not metered:
        # Of free capacity the price is another one; of what nobody measured, the time.
        return [(Cause.RATE if any(line.duration_ns for line in ledger) else Cause.QUANTITY, over)]
    measured, billed = _measured_hours(ledger), _billed_hours(bill, ledger)
    if not measured or billed is None:
        return [(Cause.UNKNOWN, over)]
    longer = Money.of_usd((billed - measured) * metered.usd / measured)
    dearer = over - longer
    time = Cause.ROUNDING if abs(billed - measured) <= _slack(ledger) else Cause.QUANTITY
    price = Cause.ROUNDING if _within(dearer, last_digit) else Cause.RATE
    return [(time, longer), (price, dearer)]


def _within(amount: Money, limit: Money) -> bool:
    return abs(amount.nanodollars) <= limit.nanodollars


def _measured_hours(ledger: Sequence[LedgerLine]) -> Decimal | None:
    """Hours that units were paid for, by the price; of containers, which run one job at a time, those they lived."""
    hours = Decimal(0)
    for line in ledger:
        if line.offer is None:
            if line.metered:
                return None
        elif line.offer.tier is Tier.SERVERLESS:
            hours += Decimal(line.duration_ns) / NS_PER_HOUR
        elif line.metered:
            if not line.offer.usd_per_hour:
                return None
            hours += line.metered.usd / line.offer.usd_per_hour
    return hours


def _billed_hours(bill: Sums, ledger: Sequence[LedgerLine]) -> Decimal | None:
    """Hours of whole units on the bill, where it tells them, or those of a part whose number in a unit is known."""
    if bill.unmeasured:
        return None
    for measure, of in _PARTS:
        hours = bill.told(measure)
        sizes = {of(line.offer) for line in ledger if line.offer is not None}
        if hours is not None and len(sizes) == 1 and (size := sizes.pop()):
            return hours / Decimal(str(size))
    return None


def _one(_: Offer) -> float | None:
    return 1.0


def _gpus(offer: Offer) -> float | None:
    return offer.gpu_count


def _cpus(offer: Offer) -> float | None:
    return offer.cpus


def _memory(offer: Offer) -> float | None:
    return offer.memory_gib


_PARTS: Final = ((Measure.UNIT, _one), (Measure.GPU, _gpus), (Measure.CPU, _cpus), (Measure.MEMORY, _memory))


def _slack(ledger: Sequence[LedgerLine]) -> Decimal:
    """Hours that billing granularity may add or clocks may miss: a step and a second of each unit and day."""
    steps = {(line.unit_id, line.day_ns): line.offer.billing.granularity_s for line in ledger if line.offer}
    return sum((_SECOND * (step + 1) for step in steps.values()), start=Decimal(0))
