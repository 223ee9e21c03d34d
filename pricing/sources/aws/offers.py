"""What AWS says of prices, and shapes → offers, and what makes none with the reason. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from broker.model.offers import BillingRule, Offer, Tier
from pricing.catalog_format import offer_id
from pricing.live.amounts import Unusable, amount, in_usd
from pricing.live.answer import Refused
from pricing.sources.aws.shapes import Shape

BILLING: Final = BillingRule(granularity_s=1, minimum_s=60)  # Linux, on demand and spot
BY_THE_HOUR: Final = BillingRule(granularity_s=3600)
LINUX: Final = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")  # one product; old accounts see the longer name
TERMS: Final = {31_536_000: Tier.COMMIT_1Y, 94_608_000: Tier.COMMIT_3Y}  # seconds

Found = tuple[list[Offer], list[Refused]]  # and what makes no offer


def on_demand(price_list: Iterable[str], shapes: Mapping[str, Shape], region: str, day: date) -> Found:
    """The offers of a Price List, each product of which is a JSON text."""
    offers: list[Offer] = []
    refused: list[Refused] = []
    for text in price_list:
        sku = "a product of the Price List"
        try:
            product = json.loads(text)
            attributes = product["product"]["attributes"]
            sku = f"{attributes['instanceType']} {region}"
            if attributes["instanceType"] not in shapes:
                continue
            if attributes["regionCode"] != region:
                raise Unusable(f"is of {attributes['regionCode']}, which was not asked for")
            source = f"live: AWS Price List, sku {product['product']['sku']}, published {product['publicationDate']}"
            shape = shapes[attributes["instanceType"]]
            offers.append(_offer(shape, region, Tier.ON_DEMAND, _hourly(product), day, source))
        except Unusable as error:
            refused.append(Refused(thing=sku, reason=str(error)))
        except (ValueError, KeyError, TypeError) as error:
            refused.append(Refused(thing=sku, reason=f"is not of the form that is known: {error!r}"))
    return _once(offers, refused)


def _hourly(product: Mapping[str, Any]) -> Decimal:
    """The one price per hour of a product, in dollars. Raises `Unusable`."""
    terms = list(product["terms"]["OnDemand"].values())
    dimensions = [dimension for term in terms for dimension in term["priceDimensions"].values()]
    if len(dimensions) != 1:
        raise Unusable(f"has {len(dimensions)} prices on demand, where one is expected")
    if dimensions[0]["unit"] != "Hrs":
        raise Unusable(f"is priced by {dimensions[0]['unit']!r}, not by the hour")
    prices = dimensions[0]["pricePerUnit"]
    if "USD" not in prices:
        in_usd(next(iter(prices), None))
    return amount(prices["USD"])


def spot(history: Iterable[Mapping[str, Any]], shapes: Mapping[str, Shape], region: str, day: date) -> Found:
    """The spot prices that hold now: of each type the cheapest zone, with the range in the note."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    refused: list[Refused] = []
    for entry in history:
        if entry["ProductDescription"] not in LINUX or entry["InstanceType"] not in shapes:
            continue
        key = (entry["InstanceType"], entry["AvailabilityZone"])
        if key not in newest or newest[key]["Timestamp"] < entry["Timestamp"]:
            newest[key] = entry
    zones: dict[str, dict[str, Decimal]] = {}
    for (sku, zone), entry in newest.items():
        try:
            zones.setdefault(sku, {})[zone] = amount(entry["SpotPrice"])
        except Unusable as error:
            refused.append(Refused(thing=f"{sku} {zone} spot", reason=str(error)))
    return [_spot(shapes[sku], region, by_zone, day) for sku, by_zone in zones.items() if by_zone], refused


def _spot(shape: Shape, region: str, by_zone: Mapping[str, Decimal], day: date) -> Offer:
    cheapest = min(sorted(by_zone), key=lambda zone: by_zone[zone])
    note = f"cheapest of {len(by_zone)} zones, {cheapest}; the dearest asks {max(by_zone.values()):f}"
    source = "live: AWS EC2 DescribeSpotPriceHistory"
    return _offer(shape, region, Tier.SPOT, by_zone[cheapest], day, source, note)


def commitments(rates: Iterable[Mapping[str, Any]], shapes: Mapping[str, Shape], region: str, day: date) -> Found:
    """The rates of EC2 Instance Savings Plans without upfront payment."""
    offers: list[Offer] = []
    refused: list[Refused] = []
    for rate in rates:
        properties = {each["name"]: each["value"] for each in rate.get("properties", ())}
        sku = properties.get("instanceType", "")
        plan, used = rate.get("savingsPlanOffering", {}), str(rate.get("usageType", ""))
        if sku not in shapes or rate.get("operation") != "RunInstances" or ("Box" in used and "BoxUsage" not in used):
            continue
        try:
            in_usd(plan.get("currency"))
            if rate.get("unit") != "Hrs":
                raise Unusable(f"is priced by {rate.get('unit')!r}, not by the hour")
            if properties.get("region", region) != region:
                raise Unusable(f"is of {properties['region']}, which was not asked for")
            tier = TERMS.get(plan.get("durationSeconds"))
            if tier is None:
                raise Unusable(f"is for a term of {plan.get('durationSeconds')} s, neither one year nor three")
            source = f"live: AWS Savings Plans, offering {plan.get('offeringId')}"
            note = "EC2 Instance Savings Plan, no upfront payment"
            offers.append(_offer(shapes[sku], region, tier, amount(rate.get("rate")), day, source, note))
        except Unusable as error:
            refused.append(Refused(thing=f"{sku} {region} Savings Plan", reason=str(error)))
    return _once(offers, refused)


def _once(offers: list[Offer], refused: list[Refused]) -> Found:
    """Each offer once; one that is listed at two prices is refused."""
    prices: dict[str, set[Decimal]] = {}
    for offer in offers:
        prices.setdefault(offer.id, set()).add(offer.usd_per_hour)
    clear = {offer.id: offer for offer in offers if len(prices[offer.id]) == 1}
    unclear = {name: sorted(usd) for name, usd in prices.items() if len(usd) > 1}
    reasons = {name: " and ".join(f"${each:f}" for each in usd) for name, usd in unclear.items()}
    odd = [Refused(thing=name, reason=f"has several prices, {reason}") for name, reason in reasons.items()]
    return list(clear.values()), refused + odd


def _offer(shape: Shape, region: str, tier: Tier, usd: Decimal, day: date, source: str, note: str = "") -> Offer:
    return Offer(
        id=offer_id("aws", "ec2", shape.sku, region, tier),
        provider="aws",
        product="ec2",
        sku=shape.sku,
        region=region,
        tier=tier,
        gpu_model=shape.gpu_model,
        gpu_count=float(shape.gpu_count),
        cpus=shape.cpus,
        memory_gib=shape.memory_gib,
        usd_per_hour=usd,
        billing=BY_THE_HOUR if tier.is_commitment else BILLING,
        valid_from=day,
        source=source,
        note=note,
    )
