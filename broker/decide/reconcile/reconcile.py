"""A bill and the ledger → what agrees, what is missing on either side, why amounts differ, and what to record."""

from __future__ import annotations

from collections.abc import Iterator, Set
from decimal import Decimal

from broker.decide.reconcile.agreeing import Rest, agrees, metered, summed
from broker.decide.reconcile.causes import causes
from broker.decide.reconcile.cells import Cell, cells
from broker.decide.reconcile.corrections import corrections
from broker.decide.reconcile.gather import DAY_NS, Bill, Sums
from broker.model.bills import Cause, Comparison, Correction, Elsewhere, Reconciliation, Standing
from broker.model.money import ZERO, Money
from broker.model.usage import ChargeKind


def covered(bill: Bill, until_ns: int | None = None) -> tuple[int, int]:
    """The whole days that a bill covers: from its first line to the last day that its usage fills, or `until_ns`."""
    until = bill.ended_ns if until_ns is None else until_ns
    since_ns = bill.started_ns // DAY_NS * DAY_NS
    return since_ns, max(until // DAY_NS * DAY_NS, since_ns)


def reconcile(rest: Rest, since_ns: int, until_ns: int, *, complete: bool = False) -> Reconciliation:
    """Compares what is left of a bill with what is left of the ledger of the days that it covers.

    With `complete`, what is not on the bill was not billed, and is corrected to nothing; otherwise it may come later.
    """
    bill, nobodys = rest.bill, dict(rest.bill.elsewhere)
    found, later = cells(rest, until_ns, nobodys)
    agreed = dict(rest.agreed)
    pools = {cell.key.pool for cell in found if cell.bill is not None} | agreed.keys()
    parts: list[Cell] = []
    for cell in found:
        if cell.bill is not None and agrees(cell.bill, cell.ledger):
            number, nanodollars = agreed.get(cell.key.pool, (0, 0))
            agreed[cell.key.pool] = (number + 1, nanodollars + metered(cell.ledger))
        elif cell.bill is not None or _concerns(cell, pools, rest.providers):
            parts += _sides(cell)
    provider = min(rest.providers, default="")
    return Reconciliation(
        since_ns=since_ns,
        until_ns=until_ns,
        lines=bill.lines,
        billed=Money.of_usd(bill.cost),
        later=later,
        agreed=summed(agreed),
        comparisons=tuple(_compare(cell, bill.digit) for cell in parts),
        elsewhere=_elsewhere(nobodys),
        corrections=tuple(each for cell in parts for each in _correct(cell, provider, complete)),
    )


def _concerns(cell: Cell, pools: Set[str], providers: Set[str]) -> bool:
    """Whether what only the ledger has should have been on this bill."""
    if not any(line.metered or line.corrected or line.unknown for line in cell.ledger):
        return False
    return cell.key.pool in pools or any(line.offer and line.offer.provider in providers for line in cell.ledger)


def _sides(cell: Cell) -> Iterator[Cell]:
    """A bill that has only storage or the like of a pool says nothing about its usage: these are two cells."""
    extra = [line for line in cell.ledger if line.kind is ChargeKind.OTHER]
    usage = [line for line in cell.ledger if line.kind is not ChargeKind.OTHER]
    if cell.bill is None or cell.bill.used or not usage:
        yield cell
        return
    yield Cell(cell.key, cell.first_day, cell.last_day, cell.bill, extra)
    yield Cell(cell.key, cell.first_day, cell.last_day, None, usage)


def _compare(cell: Cell, digit: Decimal) -> Comparison:
    known = Money.total(line.metered for line in cell.ledger)
    why: dict[Cause, Money] = {}
    if cell.bill is not None:
        why = causes(cell.bill, cell.ledger, digit)
    return Comparison(
        pool=cell.key.pool,
        unit_id=cell.key.unit_id,
        attempt_id=cell.key.attempt_id,
        since_ns=cell.first_day * DAY_NS,
        until_ns=cell.last_day * DAY_NS,
        standing=_standing(cell),
        metered=known,
        billed=known + Money.total(why.values()) if cell.bill is not None else ZERO,
        corrected=Money.total(line.corrected for line in cell.ledger),
        causes=why,
        services=cell.bill.services if cell.bill is not None else (),
    )


def _standing(cell: Cell) -> Standing:
    if cell.bill is None:
        return Standing.NOT_BILLED
    measured = any(line.kind is not ChargeKind.OTHER for line in cell.ledger)
    return Standing.MATCHED if measured else Standing.NOT_METERED


def _correct(cell: Cell, provider: str, complete: bool) -> Iterator[Correction]:
    bill = cell.bill
    if bill is None:
        if not complete:
            return
        bill = Sums()
    usage = Money.of_usd(bill.usage) + Money.of_usd(bill.credit) + Money.of_usd(bill.tax)
    yield from corrections(cell, usage, Money.of_usd(bill.other), provider)


def _elsewhere(rest: dict[tuple[str, str], tuple[int, Decimal]]) -> tuple[Elsewhere, ...]:
    found = [
        Elsewhere(provider=provider, service=service, lines=lines, amount=Money.of_usd(cost))
        for (provider, service), (lines, cost) in rest.items()
    ]
    return tuple(sorted(found, key=lambda each: (-abs(each.amount.nanodollars), each.service)))
