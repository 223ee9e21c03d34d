"""Lines of a bill → rows of the FinOps Open Cost and Usage Specification (FOCUS), which cost tools read.

Columns are those that are mandatory in versions 1.2 and 1.4 of its data set "Cost and Usage" (ProviderName and
PublisherName of the one, ServiceProviderName and HostProviderName of the other), what a row of usage has besides, and
our own, which begin with `x_`. Costs are what the broker metered at the offer's price, and what bills have corrected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from broker.decide.spend import cell
from broker.model.money import NS_PER_HOUR, NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.usage import BilledLine, ChargeKind

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountId",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "ResourceId",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "SkuId",
    "SkuPriceId",
    "Tags",
    "x_Book",
    "x_Job",
    "x_JobName",
    "x_Kind",
    "x_Pool",
    "x_User",
)
WORDS = MappingProxyType(
    {
        ChargeKind.JOB: "a job ran",
        ChargeKind.BOOT: "a node booted",
        ChargeKind.IDLE: "a node was idle",
        ChargeKind.COLD_START: "a container started",
        ChargeKind.IDLE_TAIL: "a container was idle before it ended",
        ChargeKind.HEAD: "a head held nodes together",
        ChargeKind.ROUNDING: "billing granularity and minimum",
        ChargeKind.OTHER: "billed and not metered",
    }
)
PRICING = MappingProxyType({Tier.SPOT: "Dynamic", Tier.COMMIT_1Y: "Committed", Tier.COMMIT_3Y: "Committed"})


def focus(lines: Iterable[BilledLine], account: str) -> Iterator[Mapping[str, str]]:
    """A row of text for each line whose cost is known; what is null is empty. `account` says whose bill it is.

    Lines of unknown cost have no row, as the format has no way to say so: count them with `unknown`.
    """
    for line in lines:
        if line.amount is not None and line.offer is not None:
            yield _row(line, line.amount.usd, line.offer, account)


def unknown(lines: Iterable[BilledLine]) -> int:
    """How many lines have no row."""
    return sum(line.amount is None or line.offer is None for line in lines)


def _row(line: BilledLine, cost: Decimal, offer: Offer, account: str) -> Mapping[str, str]:
    day = datetime.fromtimestamp(line.day_ns // NS_PER_S, UTC)
    month = day.replace(day=1)
    hours = Decimal(line.duration_ns) / NS_PER_HOUR
    # What is rounded up by the billing rule lasts no time of its own: it is told in hours at the offer's price.
    price = cost / hours if hours else offer.usd_per_hour or Decimal(1)
    quantity = hours or cost / price
    amount = _number(cost)
    found = {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), amount),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), cell(account)),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "ServiceProviderName"), offer.provider),
        **dict.fromkeys(("PublisherName", "HostProviderName"), offer.provider),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), _number(quantity)),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), "Hours"),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _time(month),
        "BillingPeriodEnd": _time((month + timedelta(days=31)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{WORDS[line.kind]} in {line.pool}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _time(day),
        "ChargePeriodEnd": _time(day + timedelta(days=1)),
        "ListUnitPrice": _number(price),
        "PricingCategory": PRICING.get(offer.tier, "Standard"),
        "RegionId": offer.region,
        "ResourceId": line.unit_id,
        "ResourceType": "Container" if offer.tier is Tier.SERVERLESS else "Node",
        "ServiceCategory": "Compute",
        "ServiceName": offer.product,
        "SkuId": offer.sku,
        "SkuPriceId": offer.id,
        "Tags": json.dumps(dict(line.tags), sort_keys=True, ensure_ascii=False),
        "x_Book": "metered",
        "x_Job": line.job_id or "",
        "x_JobName": line.job_name,
        "x_Kind": line.kind.value,
        "x_Pool": line.pool,
        "x_User": cell(line.user),
    }
    if offer.tier.is_commitment:
        status = "Used" if line.kind is ChargeKind.JOB else "Unused"
        found |= {"CommitmentDiscountId": offer.id, "CommitmentDiscountStatus": status}
    return {column: found.get(column, "") for column in COLUMNS}


def _number(value: Decimal) -> str:
    return f"{value:f}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
