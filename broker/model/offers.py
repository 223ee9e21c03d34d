"""Offers: what a provider asks for a resource, since when, and by which rule it is billed.

An offer is a fact with a date and a source; what a thing cost on a day is answered by `broker.decide.price_book`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Tier(StrEnum):
    """On which terms a resource is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    COMMIT_1Y = "commit_1y"
    COMMIT_3Y = "commit_3y"
    SERVERLESS = "serverless"
    OWNED = "owned"  # own hardware, at the rate computed from its purchase and running cost

    @property
    def is_commitment(self) -> bool:
        """Whether it is paid for a term, used or not."""
        return self in (Tier.COMMIT_1Y, Tier.COMMIT_3Y)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingRule:
    """How a measured life becomes billed time."""

    granularity_s: int = 1  # billed time is rounded up to a multiple of this
    minimum_s: int = 0  # a unit is billed at least this long


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One price of one resource from one provider.

    For nodes (`tier` other than serverless) `usd_per_hour` is the whole node's price and `gpu_count`, `cpus`,
    `memory_gib` say what is in it. For serverless it is the price of *one* GPU of `gpu_model` (zero where there is
    none), and `usd_per_cpu_hour` (per virtual CPU) and `usd_per_gib_hour` are added for what the container has.
    """

    id: str  # provider/product/sku/region/tier, lower case
    provider: str
    product: str
    sku: str
    region: str  # provider's name for it; "" where the price holds everywhere
    tier: Tier
    gpu_model: str  # canonical; "" for none
    gpu_count: float  # in a node; 1 for a serverless GPU; 0 for none
    cpus: float | None  # virtual CPUs of the node; None where not stated
    memory_gib: float | None
    usd_per_hour: Decimal
    usd_per_cpu_hour: Decimal | None = None  # None: CPUs are in the price
    usd_per_gib_hour: Decimal | None = None  # None: memory is in the price
    billing: BillingRule = BillingRule()
    valid_from: date  # the day the price was true by its source (as-of)
    source: str
    note: str = ""

    @property
    def usd_per_gpu_hour(self) -> Decimal | None:
        """The price for one GPU of it; None where there is no GPU."""
        return self.usd_per_hour / Decimal(str(self.gpu_count)) if self.gpu_count else None

    def age_days(self, today: date) -> int:
        """Days since the price was seen to be true."""
        return (today - self.valid_from).days


def in_force(offers: Iterable[Offer], day: date) -> tuple[Offer, ...]:
    """The newest of each offer's prices from on or before `day`, in order of first appearance."""
    newest: dict[str, Offer] = {}
    for offer in offers:
        if offer.valid_from <= day and (offer.id not in newest or newest[offer.id].valid_from <= offer.valid_from):
            newest[offer.id] = offer
    return tuple(newest.values())
