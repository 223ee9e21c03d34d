"""Bills: what a provider charges, line by line, and how that compares with what the ledger holds.

Times are nanoseconds since the epoch, intervals half open. Amounts of a bill are decimals until they are summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from broker.model.money import ZERO, Money
from broker.model.offers import Offer
from broker.model.usage import Charge, ChargeKind


class LineClass(StrEnum):
    """What a line of a bill is about."""

    USAGE = "usage"  # time of nodes, containers and their parts: what the broker meters
    CREDIT = "credit"  # taken off: credits, refunds, discounts that have lines of their own
    TAX = "tax"
    OTHER = "other"  # storage, traffic, fees: what the broker does not meter


class Measure(StrEnum):
    """What the quantity of a line of usage counts, all in hours."""

    UNIT = "unit"  # hours of the node or container
    GPU = "gpu"  # hours of one GPU of it
    CPU = "cpu"  # hours of one virtual CPU
    MEMORY = "memory"  # hours of one GiB
    NONE = "none"  # not told, or in something else than time


class BillLine(NamedTuple):
    """One line of a bill. A tuple, as there are millions of them."""

    provider: str  # as offers name it: aws, gcp, modal
    resource: str  # the provider's id of the node or container; "" where it is not told
    pool: str  # by its tags; "" where they don't tell
    attempt: str  # by its tags; "" where they don't tell
    started_ns: int
    ended_ns: int
    what: LineClass
    measure: Measure
    quantity: Decimal | None
    cost: Decimal  # US dollars
    service: str  # for people: what it was charged for


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """Charges of one day, unit, kind, attempt and price, summed."""

    pool: str
    unit_id: str  # "": of the pool as a whole
    attempt_id: str | None
    kind: ChargeKind
    day_ns: int
    started_ns: int  # of the first charge
    ended_ns: int  # of the last
    duration_ns: int  # together
    metered: Money  # as far as prices were known
    unknown: int  # metered charges without a price that no bill has settled yet
    corrected: Money  # what bills have added so far
    corrections: int  # by how many charges
    offer: Offer | None


class Standing(StrEnum):
    """On which sides something is."""

    MATCHED = "matched"  # on both
    NOT_BILLED = "not billed"  # in the ledger alone
    NOT_METERED = "not in the ledger"  # on the bill alone


class Cause(StrEnum):
    """Why a bill differs from the ledger. The causes of a difference add up to it."""

    RATE = "rate"  # another price than the price book's, or one that it did not know
    QUANTITY = "quantity"  # more or less time than was measured
    ROUNDING = "rounding"  # less than the bill's last digit, or than its billing granularity
    CREDIT = "credit"
    TAX = "tax"
    OTHER = "other"  # what the broker does not meter: storage, traffic, fees
    UNKNOWN = "unknown"  # the bill does not say how much was used


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One unit, attempt or pool over the days that a bill tells together."""

    pool: str
    unit_id: str  # "": of the pool
    attempt_id: str | None
    since_ns: int
    until_ns: int
    standing: Standing
    metered: Money
    billed: Money
    corrected: Money  # what earlier bills have added
    causes: dict[Cause, Money]  # of billed - metered; without those that are zero
    services: tuple[str, ...]  # what the bill charges it for

    @property
    def difference(self) -> Money:
        """What the bill has more than was metered."""
        return self.billed - self.metered


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Units, attempts and days of a pool on which bill and ledger are the same; they may be a million."""

    pool: str
    number: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What a bill charges for things that no pool has."""

    provider: str
    service: str
    lines: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A charge that brings the ledger to what was billed."""

    charge: Charge
    resolves: int = 0  # metered charges without a price whose cost this one tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A bill held against the ledger."""

    since_ns: int  # what is compared: whole days that the bill covers
    until_ns: int
    lines: int  # of the bill
    billed: Money  # all of it
    later: int  # lines of days that the bill does not cover to their end: not compared
    agreed: tuple[Agreed, ...]  # by pool
    comparisons: tuple[Comparison, ...]  # of the rest
    elsewhere: tuple[Elsewhere, ...]  # the largest first
    corrections: tuple[Correction, ...]  # what would have to be recorded

    @property
    def to_record(self) -> Money:
        """What the corrections come to."""
        return Money.total(each.charge.amount or ZERO for each in self.corrections)
