"""Lines of a bill, however many, → sums by resource, pool, attempt and days: what is kept of a bill in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from broker.model.bills import BillLine, LineClass, Measure
from broker.model.money import NS_PER_S

DAY_NS: Final = 86_400 * NS_PER_S
_NOTHING: Final = Decimal(0)


class Whose(NamedTuple):
    """What tells lines of a bill apart, and the days that they are for."""

    provider: str
    resource: str
    pool: str
    attempt: str
    first_day: int  # days since the epoch
    days: int


@dataclass(slots=True)
class Sums:
    """Lines of one owner and the same days, added up while they are read."""

    lines: int = 0
    usage: Decimal = _NOTHING
    credit: Decimal = _NOTHING
    tax: Decimal = _NOTHING
    other: Decimal = _NOTHING
    measure: Measure = Measure.NONE  # of the first line of usage that has one
    quantity: Decimal = _NOTHING  # hours of that measure
    parts: dict[Measure, Decimal] | None = None  # hours of other measures; a dictionary only for who has several
    unmeasured: bool = False  # a line of usage does not say how much
    services: tuple[str, ...] = ()

    def add(self, line: BillLine) -> None:
        """One more line."""
        self.lines += 1
        if line.service not in self.services and len(self.services) < _SERVICES:
            self.services = _with(self.services, line.service)
        if line.what is LineClass.USAGE:
            self.usage += line.cost
            if line.quantity is None or line.measure is Measure.NONE:
                self.unmeasured = True
            else:
                self._measure(line.measure, line.quantity)
        elif line.what is LineClass.CREDIT:
            self.credit += line.cost
        elif line.what is LineClass.TAX:
            self.tax += line.cost
        else:
            self.other += line.cost

    def _measure(self, measure: Measure, hours: Decimal) -> None:
        if self.measure is Measure.NONE:
            self.measure = measure
        if measure is self.measure:
            self.quantity += hours
            return
        if self.parts is None:
            self.parts = {}
        self.parts[measure] = self.parts.get(measure, _NOTHING) + hours

    def merge(self, more: Sums) -> None:
        """All lines of another one as well."""
        self.lines += more.lines
        self.usage, self.credit = self.usage + more.usage, self.credit + more.credit
        self.tax, self.other = self.tax + more.tax, self.other + more.other
        for measure in Measure:
            if (hours := more.told(measure)) is not None:
                self._measure(measure, hours)
        self.unmeasured |= more.unmeasured
        self.services = tuple(dict.fromkeys((*self.services, *more.services)))[:_SERVICES]

    def told(self, measure: Measure) -> Decimal | None:
        """Its hours of a measure; None where it has none."""
        if measure is Measure.NONE:
            return None
        return self.quantity if measure is self.measure else (self.parts or {}).get(measure)

    @property
    def used(self) -> bool:
        """Whether any of it is about what the broker meters."""
        return bool(self.measure is not Measure.NONE or self.unmeasured or self.credit or self.tax)


@lru_cache(maxsize=1_024)
def _with(services: tuple[str, ...], another: str) -> tuple[str, ...]:
    """One tuple for all that have the same: there may be a million."""
    return (*services, another)


_SERVICES: Final = 4  # that are named of one owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A bill in sums."""

    owned: dict[Whose, Sums]  # of what has a resource or a tag of ours
    elsewhere: dict[tuple[str, str], tuple[int, Decimal]]  # provider, service -> lines, cost of the rest
    lines: int
    cost: Decimal
    started_ns: int  # of the first line
    ended_ns: int  # of the last line of usage
    digit: Decimal  # the smallest figure that its costs are told in


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Which lines of a bill are taken, and whose those are that no tag tells."""

    pool: str = ""  # of all the rest; "": of no pool
    names: Mapping[str, str] = field(default_factory=dict)  # a resource or a service -> its pool
    since_ns: int | None = None  # lines that begin from then on
    until_ns: int | None = None  # and before then


EVERY: Final = Taken()


class Gathering:
    """Takes lines one after another."""

    def __init__(self, taken: Taken = EVERY) -> None:
        self._pool, self._names = taken.pool, taken.names
        since_ns, until_ns = taken.since_ns, taken.until_ns
        self._since_ns = -(2**63) if since_ns is None else since_ns
        self._until_ns = 2**63 if until_ns is None else until_ns
        self._owned: dict[Whose, Sums] = {}
        self._elsewhere: dict[tuple[str, str], tuple[int, Decimal]] = {}
        self._lines = 0
        self._cost = _NOTHING
        self._started_ns, self._ended_ns, self._used_until_ns = 2**63, 0, 0
        self._exponent = 0

    def add(self, lines: Iterable[BillLine]) -> None:
        """Adds those that begin in the period."""
        for line in lines:
            if not self._since_ns <= line.started_ns < self._until_ns:
                continue
            self._lines += 1
            self._cost += line.cost
            exponent = line.cost.as_tuple().exponent
            if isinstance(exponent, int) and exponent < self._exponent:
                self._exponent = exponent
            self._started_ns = min(self._started_ns, line.started_ns)
            # Taxes and fees are for months: only usage tells up to when a bill is complete.
            if line.what is LineClass.USAGE and line.ended_ns - line.started_ns <= DAY_NS:
                self._used_until_ns = max(self._used_until_ns, line.ended_ns)
            self._ended_ns = max(self._ended_ns, line.ended_ns)
            self._keep(line)

    def _keep(self, line: BillLine) -> None:
        named = self._names.get(line.resource) or self._names.get(line.service) if self._names else None
        pool = line.pool or named or self._pool
        if not (pool or line.resource or line.attempt):
            lines, cost = self._elsewhere.get((line.provider, line.service), (0, _NOTHING))
            self._elsewhere[line.provider, line.service] = (lines + 1, cost + line.cost)
            return
        first = line.started_ns // DAY_NS
        days = max(-(-line.ended_ns // DAY_NS) - first, 1)
        whose = Whose(line.provider, line.resource, pool, line.attempt, first, days)
        sums = self._owned.get(whose)
        if sums is None:
            sums = self._owned[whose] = Sums()
        sums.add(line)

    def bill(self) -> Bill:
        """What was added."""
        return Bill(
            owned=self._owned,
            elsewhere=self._elsewhere,
            lines=self._lines,
            cost=self._cost,
            started_ns=self._started_ns if self._lines else 0,
            ended_ns=self._used_until_ns or self._ended_ns,
            digit=Decimal(1).scaleb(self._exponent),
        )


def gather(lines: Iterable[BillLine], taken: Taken = EVERY) -> Bill:
    """The sums of the lines that are taken."""
    gathering = Gathering(taken)
    gathering.add(lines)
    return gathering.bill()
