"""Offers ↔ rows of the price history, and prices seen from one time to another → the dated offers of the price book.

The columns are written out here: a new field of `Offer` can't change what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from broker.model.offers import BillingRule, Offer, Tier

FACTS: Final = (  # what makes a price another one when it changes
    "provider",
    "product",
    "sku",
    "region",
    "tier",
    "gpu_model",
    "gpu_count",
    "cpus",
    "memory_gib",
    "usd_per_hour",
    "usd_per_cpu_hour",
    "usd_per_gib_hour",
    "granularity_s",
    "minimum_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A price, and between which times it was seen unchanged."""

    offer: Offer  # valid from the day on which it was first seen
    first_s: int  # seconds since the epoch
    last_s: int


def facts(offer: Offer) -> tuple[Any, ...]:
    """The stored columns of an offer, in the order of `FACTS`; amounts as text, exact."""
    return (
        offer.provider,
        offer.product,
        offer.sku,
        offer.region,
        offer.tier.value,
        offer.gpu_model,
        float(offer.gpu_count),
        None if offer.cpus is None else float(offer.cpus),
        None if offer.memory_gib is None else float(offer.memory_gib),
        _text(offer.usd_per_hour),
        _text(offer.usd_per_cpu_hour),
        _text(offer.usd_per_gib_hour),
        offer.billing.granularity_s,
        offer.billing.minimum_s,
    )


def seen(offer_id: str, first_s: int, last_s: int, *columns: Any) -> Seen:
    """The price that a row holds."""
    provider, product, sku, region, tier, gpu_model, gpu_count, cpus, gib, usd, per_cpu, per_gib, step, least = columns[
        : len(FACTS)
    ]
    source, note = columns[len(FACTS) :]
    offer = Offer(
        id=offer_id,
        provider=provider,
        product=product,
        sku=sku,
        region=region,
        tier=Tier(tier),
        gpu_model=gpu_model,
        gpu_count=gpu_count,
        cpus=cpus,
        memory_gib=gib,
        usd_per_hour=Decimal(usd),
        usd_per_cpu_hour=None if per_cpu is None else Decimal(per_cpu),
        usd_per_gib_hour=None if per_gib is None else Decimal(per_gib),
        billing=BillingRule(granularity_s=step, minimum_s=least),
        valid_from=day_of(first_s),
        source=source,
        note=note,
    )
    return Seen(offer=offer, first_s=first_s, last_s=last_s)


def dated(prices: Iterable[Seen]) -> Iterator[Offer]:
    """The offers of a history that is ordered by offer and time: at most one a day, the last that was seen on it.

    A price that was seen again counts as new on that day, so that it does not look old while it is still true.
    """
    for _, group in groupby(prices, key=lambda each: each.offer.id):
        of_offer = list(group)
        ends = [each.offer.valid_from for each in of_offer[1:]] + [date.max]
        for each, end in zip(of_offer, ends, strict=True):
            days = dict.fromkeys((each.offer.valid_from, day_of(each.last_s)))
            yield from (replace(each.offer, valid_from=day) for day in days if day < end)


def day_of(at_s: int) -> date:
    """The day (UTC) of a time in seconds since the epoch."""
    return datetime.fromtimestamp(at_s, UTC).date()


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
