"""Items of Azure's retail price list → offers, and what makes none with the reason. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.model.offers import BillingRule, Offer, Tier
from pricing.catalog_format import offer_id
from pricing.live.amounts import Unusable, amount, exact, in_usd
from pricing.live.answer import Refused
from pricing.live.attempts import Found
from pricing.sources.azure.sizes import size

HOURS: Final = {"1 Year": 8_760, "3 Years": 26_280}
TERMS: Final = {"1 Year": Tier.COMMIT_1Y, "3 Years": Tier.COMMIT_3Y}
OTHER_THINGS: Final = ("Windows", "CloudServices", "Dedicated Host")  # sold under the same sizes, and not nodes of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    """One price of one size and tier."""

    tier: Tier
    usd: Decimal
    since: str  # ISO time from which it holds
    rank: int  # of several for one tier the lowest counts: a reservation before a savings plan
    source: str
    note: str


def offers(items: Iterable[Mapping[str, Any]], skus: Collection[str], region: str, day: date) -> Found:
    """The offers of the sizes asked for, as of a day."""
    found: dict[tuple[str, Tier], list[_Price]] = {}
    refused: list[Refused] = []
    for item in items:
        sku = item["armSkuName"]
        if sku not in skus or _is_another_thing(item) or str(item["effectiveStartDate"])[:10] > day.isoformat():
            continue
        try:
            if item["armRegionName"] != region:
                raise Unusable(f"is of {item['armRegionName']}, which was not asked for")
            for price in _prices(item):
                found.setdefault((sku, price.tier), []).append(price)
        except Unusable as error:
            refused.append(Refused(thing=f"{sku} {region} {item['skuName']}", reason=str(error)))
    made = []
    for (sku, tier), prices in found.items():
        best = min(price.rank for price in prices)
        newest = max(price.since for price in prices if price.rank == best)
        chosen = [price for price in prices if (price.rank, price.since) == (best, newest)]
        if len({price.usd for price in chosen}) > 1:
            asked = " and ".join(sorted(f"${price.usd:f}" for price in chosen))
            refused.append(Refused(thing=f"{sku} {region} {tier}", reason=f"has two prices, {asked}"))
        else:
            made.append(_offer(sku, region, chosen[0], day))
    return made, refused


def _is_another_thing(item: Mapping[str, Any]) -> bool:
    names = f"{item['productName']} {item['skuName']} {item['meterName']}"
    other = any(words in names for words in (*OTHER_THINGS, "Low Priority"))
    return other or item["type"] not in ("Consumption", "Reservation") or not item.get("isPrimaryMeterRegion", True)


def _prices(item: Mapping[str, Any]) -> Iterator[_Price]:
    """The prices that an item states: its own, and those of savings plans beside it. Raises `Unusable`."""
    in_usd(item.get("currencyCode"))
    if item["unitOfMeasure"] != "1 Hour":
        raise Unusable(f"is priced by {item['unitOfMeasure']!r}, not by the hour")
    since = str(item["effectiveStartDate"])
    source = f"live: Azure Retail Prices, sku {item['skuId']}, since {since[:10]}"
    if item["type"] == "Reservation":
        if (term := item.get("reservationTerm")) in TERMS:
            total = amount(item["retailPrice"], HOURS[term])
            note, hourly = f"reservation, ${total:f} for the term", exact(total / HOURS[term])
            yield _Price(tier=TERMS[term], usd=hourly, since=since, rank=0, source=source, note=note)
        return
    usd, spot = amount(item["retailPrice"]), "Spot" in f"{item['skuName']} {item['meterName']}"
    tier = Tier.SPOT if spot else Tier.ON_DEMAND
    yield _Price(tier=tier, usd=usd, since=since, rank=0, source=source, note="")
    for plan in () if spot else item.get("savingsPlan") or ():
        if plan["term"] in TERMS:
            hourly = amount(plan.get("retailPrice", plan["unitPrice"]))
            yield _Price(tier=TERMS[plan["term"]], usd=hourly, since=since, rank=1, source=source, note="savings plan")


def _offer(sku: str, region: str, price: _Price, day: date) -> Offer:
    has = size(sku)
    return Offer(
        id=offer_id("azure", "vm", sku, region, price.tier),
        provider="azure",
        product="vm",
        sku=sku,
        region=region,
        tier=price.tier,
        gpu_model=has.gpu_model,
        gpu_count=float(has.gpu_count),
        cpus=has.cpus,
        memory_gib=has.memory_gib,
        usd_per_hour=price.usd,
        billing=BillingRule(granularity_s=3600) if price.tier.is_commitment else BillingRule(),
        valid_from=day,
        source=price.source,
        note="; ".join(part for part in (price.note, "granularity not stated, 1 s assumed") if part),
    )
