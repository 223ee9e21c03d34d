"""Usage and charges: measured intervals of nodes, containers and attempts, and what they cost.

Intervals are half open, [start, end), in nanoseconds since the epoch of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broker.model.money import ZERO, Money
from broker.model.offers import Offer
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitUsage:
    """The life of one node or container, so far."""

    unit_id: str  # unique for ever: a node that comes back is a new unit
    resources: Resources  # what is paid for
    started_ns: int  # when paying begins: boot or cold start
    ready_ns: int | None  # when it could first run an attempt; None: not yet, or never
    ended_ns: int | None  # None: still up
    caused_by: str | None = None  # the attempt for which it was started, if any
    last_attempt: str | None = None  # the attempt that held it last, as the store knows from earlier settlements
    asked_ns: int | None = None  # when it was asked for, where that was before it was paid for
    head: bool = False  # it holds the others together and runs no attempts; it has a price of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptUsage:
    """One interval in which an attempt held part of one unit."""

    attempt_id: str
    unit_id: str
    resources: Resources  # held
    started_ns: int
    ended_ns: int | None  # None: still holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEstimate:
    """What a provider itself says that a unit has cost, before its bill: beside what was metered, never added to it."""

    unit_id: str
    attempt_id: str | None  # that it was for, where it was for one
    started_ns: int  # of the unit, as measured
    ended_ns: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What a pool measured. Promise: nothing before `as_of_ns` will be added or changed by a later report."""

    as_of_ns: int
    units: tuple[UnitUsage, ...]
    attempts: tuple[AttemptUsage, ...]
    estimates: tuple[ProviderEstimate, ...] = ()  # of units that ended, once each or oftener; they may come late


class ChargeKind(StrEnum):
    """What a charge is for. The kinds of one unit add up to what the unit cost."""

    JOB = "job"  # an attempt held (part of) the unit
    BOOT = "boot"  # cluster: paid, not ready
    IDLE = "idle"  # cluster: ready, nothing ran on (part of) it
    COLD_START = "cold_start"  # serverless: paid, not ready
    HEAD = "head"  # what holds the other units together, and runs no attempts
    IDLE_TAIL = "idle_tail"  # serverless: ready, nothing ran on (part of) it
    ROUNDING = "rounding"  # billing granularity and minimum, known when the unit ends
    OTHER = "other"  # on the bill and not metered: storage, traffic, fees, nodes that nobody knew of


class Book(StrEnum):
    """Which ledger a charge is in. Metered and correction add up to what was paid; estimates are never added."""

    ESTIMATED = "estimated"
    METERED = "metered"
    CORRECTION = "correction"  # what a bill adds to, or takes from, what was metered


ACTUAL: Final = (Book.METERED, Book.CORRECTION)  # what is known to have been paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A priced usage. Never changed: a correction is another charge.

    `attempt_id` is set for what an attempt used or caused (its cold start, the idle tail after it).
    """

    key: str  # the same usage has the same key: recording it twice is a no-op
    book: Book
    kind: ChargeKind
    pool: str
    unit_id: str
    attempt_id: str | None
    started_ns: int
    ended_ns: int
    amount: Money | None  # None: the price is not known
    offer: Offer | None  # the price used, frozen with its source and date


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """Metered charges of one day, unit, job, kind and price, summed."""

    day_ns: int  # when the day begins, UTC
    pool: str
    unit_id: str
    kind: ChargeKind
    job_id: str | None  # None: of no job, as idle time
    job_name: str
    user: str
    tags: Mapping[str, str]  # of the job
    duration_ns: int
    amount: Money | None  # None: the price is not known
    offer: Offer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRow:
    """One line of a spend report."""

    group: tuple[str, ...]  # values of the columns that were asked for, in order
    job: Money  # execution of attempts
    overhead: Money  # boot, idle, cold start, idle tail and rounding
    unknown: int  # charges without a known price; never counted as zero silently
    corrected: Money = ZERO  # of both: what bills have added
    predicted: Money | None  # what placements had predicted for the same jobs; None where nothing was predicted

    @property
    def total(self) -> Money:
        """All that is known to have been paid."""
        return self.job + self.overhead
