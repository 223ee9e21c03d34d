"""Sums of a bill and lines of the ledger → cells: one unit, attempt or pool over days that can be compared.

A resource that the ledger knows is compared by itself; what carries an attempt's tag, with that attempt; what carries a
pool's tag alone, with all of the pool that nothing else of the bill is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from broker.decide.reconcile.agreeing import Rest, names
from broker.decide.reconcile.gather import DAY_NS, Sums, Whose
from broker.model.bills import LedgerLine, Measure
from broker.model.money import NS_PER_HOUR, NS_PER_S

# Two clocks may disagree by this much at midnight: so little on one side alone belongs to the day beside it.
SKEW_NS: Final = 120 * NS_PER_S


class Key(NamedTuple):
    """Whose money is compared."""

    pool: str
    unit_id: str  # "": of the pool
    attempt_id: str | None


@dataclass(slots=True)
class Cell:
    """Both sides for the same days."""

    key: Key
    first_day: int
    last_day: int  # the day after the last
    bill: Sums | None = None
    ledger: list[LedgerLine] = field(default_factory=list)

    @property
    def lonely(self) -> bool:
        """So short, and on one side only, that two clocks may have told it apart."""
        if self.bill is None:
            return max((line.duration_ns for line in self.ledger), default=0) <= SKEW_NS
        hours = self.bill.told(Measure.UNIT)
        return not self.ledger and hours is not None and hours * NS_PER_HOUR <= SKEW_NS

    def join(self, other: Cell) -> None:
        """Takes another one's sides and days."""
        self.first_day, self.last_day = min(self.first_day, other.first_day), max(self.last_day, other.last_day)
        self.ledger += other.ledger
        if other.bill is not None:
            self.bill = self.bill or Sums()
            self.bill.merge(other.bill)


class Known:
    """What the ledger has: units, attempts and pools."""

    def __init__(self, ledger: Sequence[LedgerLine], taken: Mapping[str, str]) -> None:
        self._taken = taken  # units of which days were compared already -> their pool
        self._units: dict[str, list[str]] = {}
        self._attempts: dict[str, str] = {}
        for line in ledger:
            pools = self._units.setdefault(line.unit_id, [])
            if line.unit_id and line.pool not in pools:
                pools.append(line.pool)
            if line.attempt_id is not None:
                self._attempts[line.attempt_id] = line.pool

    def key(self, whose: Whose) -> Key | None:
        """Whose a part of a bill is; None for nobody's."""
        if whose.resource:
            for name in names(whose.resource):
                if pools := self._units.get(name) or self._taken_from(name):
                    return Key(whose.pool if whose.pool in pools else pools[0], name, None)
        if whose.attempt in self._attempts:
            return Key(self._attempts[whose.attempt], "", whose.attempt)
        return Key(whose.pool, "", None) if whose.pool else None

    def _taken_from(self, name: str) -> list[str]:
        return [self._taken[name]] if name in self._taken else []


def cells(rest: Rest, until_ns: int, elsewhere: dict[tuple[str, str], tuple[int, Decimal]]) -> tuple[list[Cell], int]:
    """The cells, and how many lines of the bill are of days after the last that is complete.

    What is nobody's is added to `elsewhere`.
    """
    known, later = Known(rest.lines, rest.units), 0
    of: dict[Key, list[Cell]] = {}
    for whose, sums in rest.bill.owned.items():
        key = known.key(whose)
        if key is None:
            _put(elsewhere, whose, sums)
        elif (whose.first_day + whose.days) * DAY_NS > until_ns:
            later += sums.lines
        else:
            cell = Cell(key, whose.first_day, whose.first_day + whose.days, sums)
            of.setdefault(key, []).append(cell)
    _add_ledger(of, rest)
    return [cell for key in sorted(of, key=_order) for cell in _spans(of[key])], later


def _order(key: Key) -> tuple[str, str, str]:
    return key.pool, key.unit_id, key.attempt_id or ""


def _put(elsewhere: dict[tuple[str, str], tuple[int, Decimal]], whose: Whose, sums: Sums) -> None:
    name = (whose.provider, sums.services[0] if sums.services else "")
    lines, cost = elsewhere.get(name, (0, Decimal(0)))
    elsewhere[name] = (lines + sums.lines, cost + sums.usage + sums.credit + sums.tax + sums.other)


def _add_ledger(of: dict[Key, list[Cell]], rest: Rest) -> None:
    claimed = frozenset(of)
    for line in rest.lines:
        taken = rest.units.get(line.unit_id) == line.pool
        key = Key(line.pool, line.unit_id, None) if taken else _key(line, claimed)
        day = line.day_ns // DAY_NS
        cells = of.setdefault(key, [])
        there = next((cell for cell in cells if cell.first_day == day and cell.last_day == day + 1), None)
        if there is None:
            cells.append(Cell(key, day, day + 1, ledger=[line]))
        else:
            there.ledger.append(line)


def _key(line: LedgerLine, claimed: frozenset[Key]) -> Key:
    """The narrowest part of the bill that a line of the ledger belongs to; what it is of itself where there is none."""
    keys = [Key(line.pool, line.unit_id, None)] if line.unit_id else []
    keys += [Key(line.pool, "", line.attempt_id), Key(line.pool, "", None)]
    return next((key for key in keys if key in claimed), keys[0])


def _spans(parts: Sequence[Cell]) -> Iterator[Cell]:
    """Parts whose days overlap become one cell, and what is too short to be told apart joins its neighbour."""
    if len(parts) == 1:
        yield parts[0]
        return
    joined: list[Cell] = []
    for part in sorted(parts, key=lambda cell: (cell.first_day, -cell.last_day)):
        if joined and part.first_day < joined[-1].last_day:
            joined[-1].join(part)
        else:
            joined.append(part)
    last: Cell | None = None
    for cell in joined:
        if last is not None and last.last_day == cell.first_day and _clocks_differ(last, cell):
            last.join(cell)
            continue
        if last is not None:
            yield last
        last = cell
    if last is not None:
        yield last


def _clocks_differ(one: Cell, other: Cell) -> bool:
    """Whether one of two neighbours is there on one side alone, and for no longer than clocks disagree."""
    if not one.key.unit_id:
        return False
    return any(
        short.lonely and full.bill is not None and bool(full.ledger) for short, full in ((one, other), (other, one))
    )
