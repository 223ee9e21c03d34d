"""Offers → what a thing cost on a day: by its id, by what is looked for, or for one node or container of a pool.

A price is valid from its date until a newer one of the same id; before its first date it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches

from broker.decide.charge import dominant_share
from broker.decide.tariff import billed_ns
from broker.model.errors import PriceMissing
from broker.model.money import Money
from broker.model.offers import BillingRule, Offer, Tier, in_force
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources, canonical_gpu

STALE_AFTER_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """What one node or container costs."""

    usd_per_hour: Decimal  # of the whole unit
    billing: BillingRule
    offers: tuple[Offer, ...]  # what the price is made of


class PriceBook:
    """All offers known, by time."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._dated: dict[str, list[Offer]] = {}
        for offer in sorted(offers, key=lambda offer: offer.valid_from):
            self._dated.setdefault(offer.id, []).append(offer)

    def __iter__(self) -> Iterator[Offer]:
        for history in self._dated.values():
            yield from history

    def at(self, offer_id: str, day: date) -> Offer:
        """The offer of this id as it was on a day. Raises `PriceMissing`, naming the nearest ids or the first date."""
        history = self._dated.get(offer_id.lower())
        if history is None:
            near = get_close_matches(offer_id.lower(), self._dated, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "`broker prices --all` lists what there is"
            raise PriceMissing(f"no offer {offer_id!r} among {len(self._dated)} known; {hint}")
        known = in_force(history, day)
        if not known:
            first = history[0].valid_from
            raise PriceMissing(f"no price of {offer_id} is known for {day}: the first is of {first}")
        return known[0]

    def find(
        self,
        day: date,
        *,
        gpu: str | None = None,
        provider: str | None = None,
        tier: Tier | None = None,
        region: str | None = None,
    ) -> tuple[Offer, ...]:
        """The offers in force on a day, those with all that is given, cheapest per GPU first.

        `gpu` is a model in anyone's writing; "" finds offers without GPU. An offer that holds everywhere is in every
        region.
        """
        model = None if gpu is None else canonical_gpu(gpu)
        found = [
            offer
            for offer in in_force(self, day)
            if model in (None, offer.gpu_model)
            and provider in (None, offer.provider)
            and tier in (None, offer.tier)
            and (region is None or offer.region in ("", region))
        ]
        return tuple(sorted(found, key=lambda offer: (offer.usd_per_gpu_hour or offer.usd_per_hour, offer.id)))


def stale(offer: Offer, today: date, limit_days: int = STALE_AFTER_DAYS) -> bool:
    """Whether a price was last seen to be true more than `limit_days` days ago."""
    return offer.age_days(today) > limit_days


def unit_price(offers: Sequence[Offer], resources: Resources, day: date) -> UnitPrice | None:
    """What a node or container with these resources cost on a day, by a pool's offers; None when no offer fits.

    A node costs what the whole node is offered for, however little of it is used; it fits with at least as many GPUs
    of the model. A container costs its GPUs, CPUs and memory. Of several that fit, the cheapest that also has the CPUs
    and the memory; the cheapest of all where none has them, as when a machine stands in for a rented one.
    """
    fitting = [
        (not _holds(offer, resources), usd, offer.id, offer)
        for offer in in_force(offers, day)
        if (usd := _usd_per_hour(offer, resources)) is not None
    ]
    if not fitting:
        return None
    _, usd, _, offer = min(fitting, key=lambda found: found[:3])
    return UnitPrice(usd_per_hour=usd, billing=offer.billing, offers=(offer,))


def price_in(pool: Pool, resources: Resources, day: date) -> UnitPrice | None:
    """What a node or container of a pool costs that has these resources; None when that is not known.

    A container of a pool that is priced by nodes costs as much of the pool's largest one as it keeps from others.
    """
    price = unit_price(pool.offers, resources, day)
    if price is None or pool.kind is PoolKind.CLUSTER or price.offers[0].tier is Tier.SERVERLESS:
        return price
    share = dominant_share(resources, pool.unit)
    return replace(price, usd_per_hour=price.usd_per_hour * share.numerator / share.denominator)


def cost(price: UnitPrice, duration_ns: int) -> Money:
    """What a unit costs that lived so long, rounded up as its billing rule says."""
    return Money.of_rate(price.usd_per_hour, billed_ns(price.billing, duration_ns))


def _usd_per_hour(offer: Offer, resources: Resources) -> Decimal | None:
    """The price of a unit with these resources; None where the offer is of something else."""
    if offer.tier is Tier.SERVERLESS:
        return _container_usd_per_hour(offer, resources)
    same_model = not resources.gpus or resources.gpu_model in ("", offer.gpu_model)
    return offer.usd_per_hour if same_model and resources.gpus <= offer.gpu_count + 1e-9 else None


def _container_usd_per_hour(offer: Offer, resources: Resources) -> Decimal | None:
    rated = offer.usd_per_cpu_hour is not None and offer.usd_per_gib_hour is not None
    if resources.gpus:
        if not offer.gpu_model or resources.gpu_model not in ("", offer.gpu_model):
            return None
        base = offer.usd_per_hour * Decimal(str(resources.gpus))
    elif offer.gpu_model:
        # Without a GPU, what is left of a GPU's offer is its rates for CPUs and memory.
        if not rated:
            return None
        base = Decimal(0)
    else:
        base = offer.usd_per_hour
    cpus = (offer.usd_per_cpu_hour or 0) * Decimal(str(resources.cpus))
    gib = (offer.usd_per_gib_hour or 0) * (Decimal(resources.memory_bytes) / GIB)
    return base + cpus + gib


def _holds(offer: Offer, resources: Resources) -> bool:
    """Whether the CPUs and memory that the offer states are enough; those it does not state are."""
    cpus = offer.cpus is None or resources.cpus <= offer.cpus
    memory = offer.memory_gib is None or resources.memory_bytes <= offer.memory_gib * GIB
    return cpus and memory
