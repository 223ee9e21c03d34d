"""A provider's answer and the known prices → the plausible offers, and the rejected ones with the reason. Pure.

A wrong price costs money unseen, an old one is marked as old: whatever is in doubt is refused, and the old price stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatch
from itertools import chain
from statistics import median
from typing import Final

from broker.model.offers import Offer, Tier, in_force
from pricing.checks import (
    CPU_HOUR_USD,
    KNOWN_GPU_COUNTS,
    Check,
    billing_is_of_one_life,
    each_costs_something,
    each_says_where_and_when,
    rates_are_plausible,
    serverless_is_by_the_gpu,
)
from pricing.live.answer import Answer, Refused

ALONE: Final[tuple[Check, ...]] = (  # what can be told of an offer by itself
    each_costs_something,
    each_says_where_and_when,
    serverless_is_by_the_gpu,
    rates_are_plausible,
    billing_is_of_one_life,
)
MOST_MOVED: Final = 3  # a price is within this factor of its last one
MOST_MOVED_SPOT: Final = 6
WIDEST_SPREAD: Final = 5  # one without a last price is within this factor of the median of its GPU and tier
DEEPEST_DISCOUNT: Final = 10  # spot and commitments cost at least on demand divided by this
GPU_HOUR_USD: Final = (Decimal("0.02"), Decimal(100))  # no GPU costs less or more, of whatever model
LIVE: Final = "live: "  # how the source of a price begins that was asked for, not read by a person
LEAST_SHARE: Final = 0.5  # of what was known before must be in an answer
FEW: Final = 4  # offers, of which half may vanish in earnest


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The plausible offers of an answer, and what was refused."""

    offers: tuple[Offer, ...]
    refused: tuple[Refused, ...]


class Judge:
    """Tells what to believe of answers, by all dated prices `known` on a day and by what it has believed since."""

    def __init__(self, known: Iterable[Offer], day: date) -> None:
        before = in_force(known, day)
        self._last = {offer.id: offer for offer in before}
        self._on_demand = {_thing(offer): offer for offer in before if offer.tier is Tier.ON_DEMAND}
        self._usual = _medians(before)
        self._asked_before = Counter(_where(offer) for offer in before if offer.source.startswith(LIVE))

    def judged(self, answer: Answer, accepted: Collection[str] = ()) -> Judged:
        """Which offers of an answer are to be believed.

        `accepted` are patterns of offer ids (`aws/ec2/p5*`) whose prices are believed however much they moved.
        """
        if missing := self._why_incomplete(answer):
            return Judged(offers=(), refused=(*answer.refused, Refused(thing=str(answer.part), reason=missing)))
        believed: dict[str, Offer] = {}
        refused = list(answer.refused)
        for offer in sorted(answer.offers, key=lambda offer: offer.tier is not Tier.ON_DEMAND):
            moved = any(fnmatch(offer.id, pattern) for pattern in accepted)
            twice = ["is there twice"] if offer.id in believed else []
            reason = next(chain(twice, self._doubts(offer, any_price=moved)), None)
            if reason is None:
                believed[offer.id] = offer
                if offer.tier is Tier.ON_DEMAND:
                    self._on_demand[_thing(offer)] = offer
            else:
                refused.append(Refused(thing=offer.id, reason=f"{reason}; {self._what_stays(offer)}"))
        return Judged(offers=tuple(believed.values()), refused=tuple(refused))

    def _why_incomplete(self, answer: Answer) -> str:
        """Why the answer as a whole is not believed: less than half of what the last one had."""
        part, answered = answer.part, len(answer.offers) + len(answer.refused)
        had = sum(
            many
            for (provider, region, tier), many in self._asked_before.items()
            if provider == part.provider and tier in part.tiers and part.region in ("", region)
        )
        if had >= FEW and answered < LEAST_SHARE * had:
            return f"has {answered} offers where {had} are known: half an answer is none; the old prices stay"
        return ""

    def _doubts(self, offer: Offer, *, any_price: bool) -> Iterator[str]:
        """What speaks against an offer, the gravest first; `any_price` leaves out what speaks of its price alone."""
        for check in ALONE:
            yield from (problem.partition(": ")[2] for problem in check([offer]))
        yield from _of_its_gpus(offer)
        last = self._last.get(offer.id)
        if last is not None and (offer.gpu_model, offer.gpu_count) != (last.gpu_model, last.gpu_count):
            yield f"has {_gpus(offer)}, and had {_gpus(last)}"
        if not any_price:
            yield from self._against_on_demand(offer)
            yield from _moved(offer, last) if last else self._against_others(offer)

    def _what_stays(self, offer: Offer) -> str:
        last = self._last.get(offer.id)
        return f"the price of {last.valid_from} stays" if last else "no price of it is known"

    def _against_on_demand(self, offer: Offer) -> Iterator[str]:
        listed = self._on_demand.get(_thing(offer))
        if listed is None or not (offer.tier is Tier.SPOT or offer.tier.is_commitment):
            return
        asks, on_demand = offer.usd_per_hour, listed.usd_per_hour
        # Spot is capped at the on-demand price, and reaches it.
        if asks > on_demand or (asks == on_demand and offer.tier.is_commitment):
            yield f"asks ${asks:f} an hour, which is no less than ${on_demand:f} on demand"
        elif asks * DEEPEST_DISCOUNT < on_demand:
            yield f"asks ${asks:f} an hour, less than a tenth of ${on_demand:f} on demand"

    def _against_others(self, offer: Offer) -> Iterator[str]:
        per_gpu = offer.usd_per_gpu_hour
        if per_gpu is None:
            yield from _by_cpu(offer)
            return
        if not GPU_HOUR_USD[0] <= per_gpu <= GPU_HOUR_USD[1]:
            yield f"asks ${per_gpu:f} per GPU and hour, which is not between {GPU_HOUR_USD[0]} and {GPU_HOUR_USD[1]}"
        usual = self._usual.get((offer.gpu_model, offer.tier)) or self._usual.get((offer.gpu_model, None))
        spread = WIDEST_SPREAD if (offer.gpu_model, offer.tier) in self._usual else 2 * WIDEST_SPREAD
        if usual is not None and (factor := _factor(per_gpu, usual)) > spread:
            yield f"asks ${per_gpu:.4f} per {offer.gpu_model} and hour, {factor:.1f} times off the usual ${usual:.4f}"


def _of_its_gpus(offer: Offer) -> Iterator[str]:
    if offer.gpu_count not in KNOWN_GPU_COUNTS or bool(offer.gpu_model) != bool(offer.gpu_count):
        yield f"has {_gpus(offer)}"


def _moved(offer: Offer, last: Offer) -> Iterator[str]:
    limit = MOST_MOVED_SPOT if offer.tier is Tier.SPOT else MOST_MOVED
    pairs = (
        ("an hour", offer.usd_per_hour, last.usd_per_hour),
        ("per CPU and hour", offer.usd_per_cpu_hour, last.usd_per_cpu_hour),
        ("per GiB and hour", offer.usd_per_gib_hour, last.usd_per_gib_hour),
    )
    for what, now, then in pairs:
        if now and then and (factor := _factor(now, then)) > limit:
            yield f"asks ${now:f} {what}, {factor:.1f} times off the last ${then:f}"


def _by_cpu(offer: Offer) -> Iterator[str]:
    """A machine without GPUs costs about what its CPUs do elsewhere."""
    low, high = CPU_HOUR_USD
    if offer.cpus and not low <= (per_cpu := offer.usd_per_hour / Decimal(str(offer.cpus))) <= high:
        yield f"asks ${per_cpu:.4f} per CPU and hour, which is not between {low} and {high}"


def _medians(offers: Iterable[Offer]) -> dict[tuple[str, Tier | None], Decimal]:
    """The usual price per GPU of each model, by tier and over all."""
    found: dict[tuple[str, Tier | None], list[Decimal]] = {}
    for offer in offers:
        if per_gpu := offer.usd_per_gpu_hour:
            for tier in (offer.tier, None):
                found.setdefault((offer.gpu_model, tier), []).append(per_gpu)
    return {key: median(prices) for key, prices in found.items()}


def _factor(one: Decimal, other: Decimal) -> Decimal:
    return max(one / other, other / one)


def _gpus(offer: Offer) -> str:
    return f"{offer.gpu_count:g} GPUs of {offer.gpu_model!r}" if offer.gpu_model else f"{offer.gpu_count:g} GPUs"


def _thing(offer: Offer) -> tuple[str, ...]:
    return offer.provider, offer.product, offer.sku, offer.region


def _where(offer: Offer) -> tuple[str, str, Tier]:
    return offer.provider, offer.region, offer.tier
