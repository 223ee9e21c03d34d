"""The charges of a job → a line for each kind and pool: what hundreds of settlements say, as people ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.model.money import ZERO, Money
from broker.model.offers import Offer
from broker.model.usage import Book, Charge, ChargeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """Charges of one kind in one pool."""

    kind: ChargeKind
    book: Book
    pool: str
    started_ns: int  # of the first
    ended_ns: int  # of the last
    amount: Money | None  # None: none of them has a known price
    unknown: int  # charges without a known price, which are not in the amount
    count: int
    offers: tuple[Offer, ...]  # the prices used


def charged(charges: Sequence[Charge]) -> tuple[Charged, ...]:
    """Lines by when their first charge began. Together they are the charges; corrections have lines of their own."""
    groups: dict[tuple[str, str, str], list[Charge]] = {}
    for charge in sorted(charges, key=lambda each: (each.started_ns, each.key)):
        groups.setdefault((charge.kind, charge.pool, charge.book), []).append(charge)
    return tuple(_line(group) for group in groups.values())


def _line(group: Sequence[Charge]) -> Charged:
    known = [charge.amount for charge in group if charge.amount is not None]
    first = group[0]
    return Charged(
        kind=first.kind,
        book=first.book,
        pool=first.pool,
        started_ns=first.started_ns,
        ended_ns=max(charge.ended_ns for charge in group),
        amount=sum(known, ZERO) if known else None,
        unknown=len(group) - len(known),
        count=len(group),
        offers=tuple({(each.id, each.valid_from): each for charge in group if (each := charge.offer)}.values()),
    )
