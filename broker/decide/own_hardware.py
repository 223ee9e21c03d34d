"""What own hardware costs to buy, run and keep → dollars per hour with its components, and the offer made of them.

The rate is of a node that is up and can be used: `utilization` below one spreads the same cost over fewer hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from broker.model.offers import Offer, Tier
from broker.model.resources import GIB, Resources

HOURS_PER_YEAR = 8_760
_MONTHS_PER_YEAR = 12
_SMALLEST = Decimal("1e-9")  # a nanodollar an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHardware:
    """One node of own hardware; amounts of money in dollars."""

    purchase_usd: Decimal
    years: Decimal  # for how long it is used
    residual_usd: Decimal = Decimal(0)  # what it is sold for at the end
    power_w: Decimal = Decimal(0)  # what it draws on average
    usd_per_kwh: Decimal = Decimal(0)
    pue: Decimal = Decimal(1)  # power of the whole site per power of its machines
    hosting_usd_per_month: Decimal = Decimal(0)  # rack, network, insurance
    staff_hours_per_month: Decimal = Decimal(0)
    staff_usd_per_hour: Decimal = Decimal(0)
    utilization: Decimal = Decimal(1)  # share of the time it is up and can be used

    def __post_init__(self) -> None:
        if self.years <= 0 or not 0 < self.utilization <= 1:
            raise ValueError(f"years must be above 0 and utilization above 0, at most 1: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedRate:
    """Dollars per usable hour of a node, by what they are paid for."""

    purchase: Decimal  # less what it is sold for
    power: Decimal
    hosting: Decimal
    staff: Decimal

    @property
    def usd_per_hour(self) -> Decimal:
        """All together."""
        return self.purchase + self.power + self.hosting + self.staff


def owned_rate(own: OwnHardware) -> OwnedRate:
    """What an hour of own hardware costs, rounded to the nanodollar in each component."""
    usable_hours = HOURS_PER_YEAR * own.utilization
    yearly = {
        "purchase": (own.purchase_usd - own.residual_usd) / own.years,
        "power": own.power_w / 1_000 * own.pue * own.usd_per_kwh * HOURS_PER_YEAR,
        "hosting": own.hosting_usd_per_month * _MONTHS_PER_YEAR,
        "staff": own.staff_hours_per_month * own.staff_usd_per_hour * _MONTHS_PER_YEAR,
    }
    return OwnedRate(**{what: (usd / usable_hours).quantize(_SMALLEST) for what, usd in yearly.items()})


def owned_offer(own: OwnHardware, *, name: str, unit: Resources, since: date, source: str) -> Offer:
    """The offer of a node `unit` of own hardware, called `name`, from the day `since` on."""
    rate = owned_rate(own)
    parts = (("purchase", rate.purchase), ("power", rate.power), ("hosting", rate.hosting), ("staff", rate.staff))
    return Offer(
        id=f"own/hardware/{name.lower()}/any/{Tier.OWNED.value}",
        provider="own",
        product="hardware",
        sku=name,
        region="",
        tier=Tier.OWNED,
        gpu_model=unit.gpu_model,
        gpu_count=unit.gpus,
        cpus=unit.cpus,
        memory_gib=unit.memory_bytes / GIB,
        usd_per_hour=rate.usd_per_hour,
        valid_from=since,
        source=source,
        note=", ".join(f"{what} {usd:.4f}" for what, usd in parts if usd),
    )
