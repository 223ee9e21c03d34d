"""Price listings as providers and collectors write them → offers, and what is left out with the reason.

Pure: no file, no clock. What a listing says in its own way (a physical core, `any` region, a term as minimum, an
undated snapshot) is said in the broker's way, and nothing is said that the listing does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Final

from broker.model.offers import BillingRule, Offer, Tier
from broker.model.resources import canonical_gpu
from pricing.catalog_format import offer_id

# The schema of the undated snapshots ("v8") was first published in August 2025: they can't be older than that.
_V8_SINCE: Final = date(2025, 9, 1)
_SECONDS_PER_HOUR: Final = 3600
_CPU_SKUS: Final = ("cpu-core", "vcpu-hour", "vcpu-second")
_MEMORY_SKUS: Final = ("memory-gib", "gb-hour")
_NO_REGION: Final = ("any", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One row of a price list, in its writer's words; empty text where it says nothing."""

    provider: str
    product: str
    sku: str
    gpu_model: str
    gpu_count: str
    vcpus: str
    memory_gb: str  # providers mean GiB
    region: str
    tier: str
    usd_per_hour: str
    billing_granularity_s: str
    min_billing_s: str
    as_of: str
    source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A listing that makes no offer, and why."""

    listing: Listing
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """What a price list came to."""

    offers: tuple[Offer, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a serverless product asks for CPUs and memory beside its GPUs."""

    usd_per_cpu_hour: Decimal  # of one virtual CPU
    usd_per_gib_hour: Decimal
    listing: Listing  # the one that the CPU's rate was read from


def normalise(listings: Iterable[Listing]) -> Normalised:
    """The offers of a price list. Rates for CPUs and memory become part of each offer of their product."""
    judged = [(listing, why_left_out(listing)) for listing in listings]
    kept = [listing for listing, reason in judged if not reason]
    rates = _rates(kept)
    offers = [
        _offer(listing, rates.get((listing.provider, listing.product))) for listing in kept if not _is_rate(listing)
    ]
    return Normalised(
        offers=(*offers, *(_cpu_only(rate) for rate in rates.values())),
        left_out=tuple(LeftOut(listing=listing, reason=reason) for listing, reason in judged if reason),
    )


def why_left_out(listing: Listing) -> str:
    """Why a listing makes no offer; empty when it makes one."""
    if listing.note.startswith("STALE"):
        return "marked stale by its collector: far from any price seen since"
    if "unverified" in listing.source:
        return "its own source calls it unverified"
    if "as-low-as" in listing.sku:
        return "a discounted floor, not a price that anyone is offered"
    if "discount removed" in listing.note:
        return "no longer sold at a public price"
    if "secondary source" in listing.note:
        return "a rounded figure of a secondary source; no first-party price was found"
    if "blog measurement" in listing.note:
        return "one blog's undated measurement over two regions"
    return ""


def _is_rate(listing: Listing) -> bool:
    return listing.sku.split(" ")[0] in (*_CPU_SKUS, *_MEMORY_SKUS)


def _rates(listings: Iterable[Listing]) -> dict[tuple[str, str], Rates]:
    """The rates of each product: of rows of their own, or else as the note of a row states them by the second."""
    cpu: dict[tuple[str, str], tuple[Decimal, Listing]] = {}
    gib: dict[tuple[str, str], Decimal] = {}
    for listing in listings:
        product, sku = (listing.provider, listing.product), listing.sku.split(" ")[0]
        if sku in _CPU_SKUS:
            cpu[product] = Decimal(listing.usd_per_hour) / Decimal(listing.vcpus), listing
        elif sku in _MEMORY_SKUS:
            gib[product] = Decimal(listing.usd_per_hour) / Decimal(listing.memory_gb)
        if stated := re.search(r"\$([\d.]+)/vCPU-s", listing.note):
            cpu.setdefault(product, (Decimal(stated[1]) * _SECONDS_PER_HOUR, listing))
        if stated := re.search(r"memory \$([\d.]+)/Gi?B-s", listing.note):
            gib.setdefault(product, Decimal(stated[1]) * _SECONDS_PER_HOUR)
    return {
        product: Rates(usd_per_cpu_hour=_exact(rate), usd_per_gib_hour=_exact(gib[product]), listing=listing)
        for product, (rate, listing) in cpu.items()
        if product in gib
    }


def _offer(listing: Listing, rates: Rates | None) -> Offer:
    tier, region = Tier(listing.tier), _region(listing)
    since, undated = _since(listing.as_of)
    billing, assumed = _billing(listing, tier)
    rates = rates if tier is Tier.SERVERLESS else None
    return Offer(
        id=offer_id(listing.provider, listing.product, listing.sku, region, tier),
        provider=listing.provider,
        product=listing.product,
        sku=listing.sku,
        region=region,
        tier=tier,
        gpu_model=canonical_gpu(listing.gpu_model),
        gpu_count=float(listing.gpu_count),
        cpus=_stated(listing.vcpus),
        memory_gib=_stated(listing.memory_gb),
        usd_per_hour=_exact(Decimal(listing.usd_per_hour)),
        usd_per_cpu_hour=rates.usd_per_cpu_hour if rates else None,
        usd_per_gib_hour=rates.usd_per_gib_hour if rates else None,
        billing=billing,
        valid_from=since,
        source=listing.source,
        note="; ".join(part for part in (undated, listing.note, assumed) if part),
    )


def _cpu_only(rates: Rates) -> Offer:
    """The offer of containers without a GPU, made of a product's rates."""
    listing, region = rates.listing, _region(rates.listing)
    since, undated = _since(listing.as_of)
    return Offer(
        id=offer_id(listing.provider, listing.product, "cpu", region, Tier.SERVERLESS),
        provider=listing.provider,
        product=listing.product,
        sku="cpu",
        region=region,
        tier=Tier.SERVERLESS,
        gpu_model="",
        gpu_count=0,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(0),
        usd_per_cpu_hour=rates.usd_per_cpu_hour,
        usd_per_gib_hour=rates.usd_per_gib_hour,
        billing=_billing(listing, Tier.SERVERLESS)[0],
        valid_from=since,
        source=listing.source,
        note="; ".join(part for part in (undated, _core(listing), listing.note) if part),
    )


def _core(listing: Listing) -> str:
    """How the rate of a virtual CPU follows from that of a core, where a core is what is listed."""
    if not _is_rate(listing) or listing.vcpus == "1":
        return ""
    return f"listed: {listing.usd_per_hour} an hour for {listing.vcpus} virtual CPUs"


def _region(listing: Listing) -> str:
    return "" if listing.region in _NO_REGION else listing.region.split(" ")[0]


def _since(as_of: str) -> tuple[date, str]:
    """The day of a price; the earliest that is possible where the source gives no day, and then a note of it."""
    try:
        return date.fromisoformat(as_of), ""
    except ValueError:
        stated = re.match(r"(\d{4})(?:-(\d\d))?\b", as_of)
        since = date(int(stated[1]), int(stated[2] or 1), 1) if stated else _V8_SINCE
        return since, f"UNDATED ({as_of}): dated to the earliest day it can be of"


def _billing(listing: Listing, tier: Tier) -> tuple[BillingRule, str]:
    """How the life of a node or container is billed, and a note of what the listing does not say.

    The minimum of a commitment is its term, which `tier` says: no single node's life is rounded up to it.
    """
    granularity = ceil(Decimal(listing.billing_granularity_s or 1))
    minimum = 0 if tier.is_commitment else int(listing.min_billing_s or 0)
    notes = []
    if not listing.billing_granularity_s:
        notes.append("granularity not stated, 1 s assumed")
    elif granularity != Decimal(listing.billing_granularity_s):
        notes.append(f"billed in steps of {listing.billing_granularity_s} s, held here as {granularity} s")
    return BillingRule(granularity_s=granularity, minimum_s=minimum), "; ".join(notes)


def _stated(amount: str) -> float | None:
    return float(amount) if amount else None


def _exact(amount: Decimal) -> Decimal:
    """The same amount without zeros at its end."""
    return Decimal(f"{amount.normalize():f}")
