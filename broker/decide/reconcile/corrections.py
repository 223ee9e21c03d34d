"""A cell → the charges that bring the ledger to what was billed, spread over what was metered in its proportions.

A piece's correction is the difference between its part of the bill and what the ledger has for it by now. So the same
bill a second time corrects nothing, and a restated one corrects what it changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from broker.decide.reconcile.cells import Cell
from broker.decide.reconcile.gather import DAY_NS
from broker.model.bills import Correction, LedgerLine
from broker.model.money import ZERO, Money
from broker.model.offers import Offer, Tier
from broker.model.times import day_of
from broker.model.usage import Book, Charge, ChargeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What the ledger has of one day, unit, kind and attempt, whatever prices it had."""

    pool: str
    unit_id: str
    kind: ChargeKind
    attempt_id: str | None
    started_ns: int
    ended_ns: int
    duration_ns: int
    metered: Money
    corrected: Money
    corrections: int
    unknown: int
    offer: Offer | None


def corrections(cell: Cell, usage: Money, other: Money, provider: str) -> Iterator[Correction]:
    """Brings what was metered to `usage` (credits and taxes in it), and what was not to `other`."""
    pieces = _pieces(cell.ledger)
    metered = [piece for piece in pieces if piece.kind is not ChargeKind.OTHER]
    if metered:
        for piece, part in zip(metered, _parts(usage, metered), strict=True):
            yield from _correction(piece, part, provider)
    else:
        other += usage
    extra = [piece for piece in pieces if piece.kind is ChargeKind.OTHER]
    for piece, amount in zip(extra or [_extra(cell)], [other] + [ZERO] * (len(extra) - 1), strict=True):
        yield from _correction(piece, amount, provider)


def _pieces(ledger: Sequence[LedgerLine]) -> list[_Piece]:
    groups: dict[tuple[str, int, ChargeKind, str | None], list[LedgerLine]] = {}
    for line in ledger:
        groups.setdefault((line.unit_id, line.day_ns, line.kind, line.attempt_id), []).append(line)
    return [_piece(lines) for _, lines in sorted(groups.items(), key=str)]


def _piece(lines: Sequence[LedgerLine]) -> _Piece:
    first = lines[0]
    priced = [line.offer for line in lines if line.offer is not None]
    return _Piece(
        pool=first.pool,
        unit_id=first.unit_id,
        kind=first.kind,
        attempt_id=first.attempt_id,
        started_ns=min(line.started_ns for line in lines),
        ended_ns=max(line.ended_ns for line in lines),
        duration_ns=sum(line.duration_ns for line in lines),
        metered=Money.total(line.metered for line in lines),
        corrected=Money.total(line.corrected for line in lines),
        corrections=sum(line.corrections for line in lines),
        unknown=sum(line.unknown for line in lines),
        offer=priced[0] if priced else None,
    )


def _extra(cell: Cell) -> _Piece:
    at_ns = cell.first_day * DAY_NS
    return _Piece(
        pool=cell.key.pool,
        unit_id=cell.key.unit_id,
        kind=ChargeKind.OTHER,
        attempt_id=cell.key.attempt_id,
        started_ns=at_ns,
        ended_ns=at_ns,
        duration_ns=0,
        metered=ZERO,
        corrected=ZERO,
        corrections=0,
        unknown=0,
        offer=None,
    )


def _parts(amount: Money, pieces: Sequence[_Piece]) -> Sequence[Money]:
    """In proportion to what was metered; to time, where some of it had no price."""
    if len(pieces) == 1:
        return (amount,)
    weights = [piece.metered.nanodollars for piece in pieces]
    if not any(weights) or any(piece.duration_ns and not piece.metered for piece in pieces):
        weights = [piece.duration_ns for piece in pieces]
    return amount.split(weights if any(weights) else [1] * len(pieces))


def _correction(piece: _Piece, amount: Money, provider: str) -> Iterator[Correction]:
    change = amount - piece.metered - piece.corrected
    if not change and piece.unknown <= 0:
        return
    parts = (
        *(Book.CORRECTION, piece.pool, piece.unit_id, piece.kind, piece.attempt_id or ""),
        *(piece.started_ns // DAY_NS, piece.corrections),
    )
    charge = Charge(
        key="/".join(quote(str(part), safe="") for part in parts),
        book=Book.CORRECTION,
        kind=piece.kind,
        pool=piece.pool,
        unit_id=piece.unit_id,
        attempt_id=piece.attempt_id,
        started_ns=piece.started_ns,
        ended_ns=piece.ended_ns,
        amount=change,
        offer=piece.offer or _as_billed(provider, piece.started_ns),
    )
    yield Correction(charge=charge, resolves=max(piece.unknown, 0))


def _as_billed(provider: str, at_ns: int) -> Offer:
    """Where a cost comes from that no offer told."""
    return Offer(
        id=f"{provider}/bill",
        provider=provider,
        product="bill",
        sku="bill",
        region="",
        tier=Tier.ON_DEMAND,
        gpu_model="",
        gpu_count=0,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(0),
        valid_from=day_of(at_ns).replace(day=1),
        source="a bill",
    )
