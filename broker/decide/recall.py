"""What one round of placements has worked out → the next, as far as it depends on neither the time nor on what runs.

A job that waits is quoted again in each round: ways to run and bills of a pool stay the same on the same day.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from broker.decide.rules import PlacementRules
from broker.decide.tariff import Price
from broker.model.money import Money
from broker.model.placement import CostLine, Refusal
from broker.model.pools import Pool
from broker.model.resources import Resources

_MOST: Final = 10_000  # ways and bills of a pool that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What all quotes of one kind share, whenever they start."""

    lines: tuple[CostLine, ...]
    marginal: Money | None
    full: Money | None
    p90_full: Money | None
    hourly: Money | None
    offer_ids: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Of one pool, on one day, under one set of rules."""

    pool: Pool
    day: date
    rules: PlacementRules
    ways: dict[Hashable, tuple[tuple[Resources, ...], tuple[Refusal, ...]]] = field(default_factory=dict)
    prices: dict[Resources, Price | None] = field(default_factory=dict)
    bills: dict[Hashable, Bill] = field(default_factory=dict)

    def holds(self, pool: Pool, day: date, rules: PlacementRules) -> bool:
        """Whether it is of these, and not too much to keep."""
        same = self.pool is pool and self.day == day and self.rules is rules
        return same and len(self.bills) < _MOST and len(self.ways) < _MOST


class Recall:
    """What is known of all pools; with it decisions are the same as without, and sooner made."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def of(self, pool: Pool, day: date, rules: PlacementRules) -> Known:
        """What is known of a pool; nothing where it, the day or the rules have changed."""
        known = self._known.get(pool.name)
        if known is None or not known.holds(pool, day, rules):
            known = self._known[pool.name] = Known(pool=pool, day=day, rules=rules)
        return known
