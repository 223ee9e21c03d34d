"""A unit and the prices of its days → what it has cost by any moment, and what its bill will be.

The price of a day, in UTC, holds for the whole day; a life that reaches over midnight is priced day by day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol, TypeAlias

from broker.model.money import NANODOLLARS_PER_USD, NS_PER_HOUR, NS_PER_S
from broker.model.offers import BillingRule, Offer
from broker.model.resources import GIB, Resources
from broker.model.usage import UnitUsage

DAY_NS: Final = 86_400 * NS_PER_S


class Price(Protocol):
    """What a unit costs on a day."""

    @property
    def usd_per_hour(self) -> Decimal:
        """Of the whole unit."""

    @property
    def billing(self) -> BillingRule:
        """How its life becomes billed time."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The offers it is made of."""


PriceOf: TypeAlias = Callable[[UnitUsage, int], Price | None]


def frozen(price: Price, resources: Resources) -> Offer | None:
    """The price as one offer, to be kept with what it priced: the offer itself, or the unit's when it has parts."""
    if len(price.offers) <= 1:
        return next(iter(price.offers), None)
    first = price.offers[0]
    return replace(
        first,
        id="+".join(offer.id for offer in price.offers),
        sku="+".join(offer.sku for offer in price.offers),
        gpu_model=resources.gpu_model,
        gpu_count=resources.gpus,
        cpus=resources.cpus,
        memory_gib=resources.memory_bytes / GIB,
        usd_per_hour=price.usd_per_hour,
        usd_per_cpu_hour=None,
        usd_per_gib_hour=None,
        billing=price.billing,
        valid_from=max(offer.valid_from for offer in price.offers),
        source="; ".join(dict.fromkeys(offer.source for offer in price.offers)),
        note="price of the whole unit, summed from its parts",
    )


def billed_ns(rule: BillingRule, life_ns: int) -> int:
    """The time that a life is billed as: at least the minimum, in whole steps of the granularity."""
    step = max(rule.granularity_s, 1) * NS_PER_S
    return -(-max(life_ns, rule.minimum_s * NS_PER_S) // step) * step


class Tariff:
    """What one unit costs over time. Time whose price is not known counts as nothing here; `known` tells."""

    def __init__(self, unit: UnitUsage, price_of: PriceOf) -> None:
        self._unit = unit
        self._price_of = price_of
        self._prices: dict[int, Price | None] = {}
        self._starts: dict[int, Fraction] = {unit.started_ns // DAY_NS: Fraction(0)}

    def price(self, at_ns: int) -> Price | None:
        """The price of the day of a moment; None when it is not known."""
        day = at_ns // DAY_NS
        if day not in self._prices:
            self._prices[day] = self._price_of(self._unit, max(self._unit.started_ns, day * DAY_NS))
        return self._prices[day]

    def cost(self, at_ns: int) -> int:
        """Nanodollars from the unit's start to a moment, rounded once, half to even; never less for a later moment."""
        return round(self._exact(at_ns))

    def rounding(self, end_ns: int) -> int | None:
        """Nanodollars that granularity and minimum add to a life that ended; None when the price is not known."""
        price = self.price(max(end_ns - 1, self._unit.started_ns))
        if price is None:
            return None
        life_ns = end_ns - self._unit.started_ns
        added = _per_ns(price) * (billed_ns(price.billing, life_ns) - life_ns)
        return round(self._exact(end_ns) + added) - self.cost(end_ns)

    def _exact(self, at_ns: int) -> Fraction:
        day = at_ns // DAY_NS
        for later in range(max(self._starts) + 1, day + 1):
            self._starts[later] = self._in_day(later - 1, later * DAY_NS)
        return self._in_day(day, at_ns)

    def _in_day(self, day: int, until_ns: int) -> Fraction:
        price = self.price(day * DAY_NS)
        since_ns = max(self._unit.started_ns, day * DAY_NS)
        return self._starts[day] + (_per_ns(price) * (until_ns - since_ns) if price else 0)


def _per_ns(price: Price) -> Fraction:
    return Fraction(price.usd_per_hour) * NANODOLLARS_PER_USD / NS_PER_HOUR
