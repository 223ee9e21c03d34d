"""What of a bill agrees with the ledger, day by day: taken out of both, so that only the rest is kept in memory.

It changes no result: what is taken out is what the comparison would have found to agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.decide.reconcile.gather import DAY_NS, Bill, Sums, Whose
from broker.model.bills import Agreed, LedgerLine
from broker.model.money import Money
from broker.model.usage import ChargeKind


def agrees(bill: Sums, lines: Sequence[LedgerLine]) -> bool:
    """Whether both sides are the same and nothing else is told, as most of a good bill: only their sum is kept."""
    if bill.credit or bill.tax or bill.other or not lines:
        return False
    if any(line.unknown or line.corrected or line.kind is ChargeKind.OTHER for line in lines):
        return False
    return Money.of_usd(bill.usage).nanodollars == metered(lines)


def metered(lines: Sequence[LedgerLine]) -> int:
    """Nanodollars of lines, as they were metered."""
    return sum(line.metered.nanodollars for line in lines)


def names(resource: str) -> tuple[str, str]:
    """What a resource may be called: AWS and GCP may give a whole path, of which the last part is the id."""
    return resource, resource.replace(":", "/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to compare, and what was taken out."""

    bill: Bill
    lines: list[LedgerLine]
    agreed: Mapping[str, tuple[int, int]]  # pool -> how many units and days, nanodollars
    units: Mapping[str, str] = field(default_factory=dict)  # those of which days were taken out -> their pool
    providers: frozenset[str] = frozenset()  # of the whole bill


class Agreeing:
    """Takes the ledger day by day. The bill is its own from then on: what agrees leaves it."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill
        self._days: defaultdict[int, list[Whose]] = defaultdict(list)
        self._long: set[str] = set()  # resources with lines of several days
        self._attempts: set[str] = set()  # that tags tell
        self._rest: list[LedgerLine] = []
        self._units: dict[str, str] = {}
        self._agreed: dict[str, tuple[int, int]] = {}
        for whose in bill.owned:
            if whose.days > 1:
                self._long.update(names(whose.resource))
            elif whose.resource:
                self._days[whose.first_day].append(whose)
            if whose.attempt:
                self._attempts.add(whose.attempt)
        owned = (whose.provider for whose in bill.owned)
        self._providers = frozenset(owned) | {provider for provider, _ in bill.elsewhere}

    def day(self, day_ns: int, lines: Sequence[LedgerLine]) -> None:
        """The ledger of one day."""
        units: defaultdict[str, list[LedgerLine]] = defaultdict(list)
        for line in lines:
            units[line.unit_id].append(line)
        on_bill: defaultdict[str, list[Whose]] = defaultdict(list)
        for whose in self._days.pop(day_ns // DAY_NS, ()):
            for name in dict.fromkeys(names(whose.resource)):
                if name in units:
                    on_bill[name].append(whose)
                    break
        for unit_id, held in units.items():
            if unit_id and self._takes(on_bill[unit_id], held):
                self._take(unit_id, on_bill[unit_id][0], held)
            else:
                self._rest += held

    def _takes(self, told: Sequence[Whose], held: Sequence[LedgerLine]) -> bool:
        """Whether one line of the bill, and nothing else that could concern the unit, says what the ledger says."""
        if len(told) != 1 or held[0].unit_id in self._long:
            return False
        if any(line.pool != held[0].pool or line.attempt_id in self._attempts for line in held):
            return False
        return self._units.get(held[0].unit_id, held[0].pool) == held[0].pool and agrees(
            self._bill.owned[told[0]], held
        )

    def _take(self, unit_id: str, whose: Whose, held: Sequence[LedgerLine]) -> None:
        del self._bill.owned[whose]
        pool = held[0].pool
        number, nanodollars = self._agreed.get(pool, (0, 0))
        self._agreed[pool] = (number + 1, nanodollars + metered(held))
        self._units[unit_id] = pool

    def rest(self) -> Rest:
        """What is left after the last day."""
        return Rest(self._bill, self._rest, self._agreed, self._units, self._providers)


def summed(agreed: Mapping[str, tuple[int, int]]) -> tuple[Agreed, ...]:
    """By pool."""
    return tuple(
        Agreed(pool=pool, number=number, amount=Money(nanodollars))
        for pool, (number, nanodollars) in sorted(agreed.items())
    )
