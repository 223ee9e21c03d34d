"""Machines and the prices of their parts → offers: a machine costs the sum of what it has. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final

from broker.model.offers import BillingRule, Offer, Tier
from pricing.catalog_format import offer_id
from pricing.live.amounts import Unusable, exact
from pricing.live.answer import Refused
from pricing.sources.gcp.machines import Machine
from pricing.sources.gcp.skus import Part, Prices

TIERS: Final = (Tier.ON_DEMAND, Tier.SPOT, Tier.COMMIT_1Y, Tier.COMMIT_3Y)
BILLING: Final = BillingRule(granularity_s=1, minimum_s=60)


def offers(machines: Iterable[Machine], prices: Prices, day: date) -> tuple[list[Offer], list[Refused], list[Refused]]:
    """The offers of all tiers in which every part has a price; what is refused; machines without any price."""
    found: list[Offer] = []
    refused: list[Refused] = []
    left_out: list[Refused] = []
    for machine in machines:
        missing: list[str] = []
        for tier in TIERS:
            try:
                lacks = _lacking(machine, tier, prices)
                if lacks is None:
                    found.append(_offer(machine, tier, prices, day))
                else:
                    missing.append(f"{lacks} {tier}")
            except Unusable as error:
                refused.append(Refused(thing=f"{machine.sku} {machine.region} {tier}", reason=str(error)))
        if len(missing) == len(TIERS):
            reason = f"has no price of its {missing[0]}"
            left_out.append(Refused(thing=f"{machine.sku} {machine.region}", reason=reason))
    return found, refused, left_out


def _lacking(machine: Machine, tier: Tier, prices: Prices) -> Part | None:
    """A part without a price; None when all have one. Raises `Unusable` where one has two."""
    for part, _ in machine.parts():
        listed = prices.get((machine.region, tier, part), ())
        if not listed:
            return part
        if len({each.usd for each in listed}) > 1:
            asked = " and ".join(sorted({f"${each.usd:f} ({each.sku})" for each in listed}))
            raise Unusable(f"its {part} has several prices: {asked}")
    return None


def _offer(machine: Machine, tier: Tier, prices: Prices, day: date) -> Offer:
    parts = [(part, much, prices[machine.region, tier, part][0]) for part, much in machine.parts()]
    usd = exact(sum((Decimal(str(much)) * listed.usd for _, much, listed in parts), start=Decimal(0)))
    return Offer(
        id=offer_id("gcp", "gce", machine.sku, machine.region, tier),
        provider="gcp",
        product="gce",
        sku=machine.sku,
        region=machine.region,
        tier=tier,
        gpu_model=machine.gpu_model,
        gpu_count=float(machine.gpu_count),
        cpus=machine.cpus,
        memory_gib=machine.memory_gib,
        usd_per_hour=usd,
        billing=BillingRule() if tier.is_commitment else BILLING,
        valid_from=day,
        source=f"live: Google Cloud Billing Catalog, skus {', '.join(listed.sku for _, _, listed in parts)}",
        note=" + ".join(f"{much:g} × ${listed.usd:f} {part}" for part, much, listed in parts),
    )
