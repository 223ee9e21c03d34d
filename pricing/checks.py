"""Offers → what is wrong with them as a whole: the invariants that a catalogue must hold before it is published.

Each check names the offers at fault: a price far from all others of its GPU is more likely a mistake than a bargain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import Final

from broker.model.offers import Offer, Tier
from broker.model.resources import GPU_MEMORY_GIB

KNOWN_GPU_COUNTS: Final = frozenset({0, 1, 2, 4, 8, 16, 72})
OTHER_GPUS: Final = frozenset({"A4000", "RTX4090", "GB200", "GH200", "H100-MEGA", "H100-NVL", "H100-PCIE"})
WIDEST_SPREAD: Final = 5  # a price per GPU is within this factor of the median of its model
CPU_HOUR_USD: Final = (Decimal("0.005"), Decimal("0.50"))
GIB_HOUR_USD: Final = (Decimal("0.0005"), Decimal("0.10"))
LONGEST_BILLED_S: Final = 3600  # no granularity or minimum of a single node or container is longer
EARLIEST: Final = date(2020, 1, 1)

Check = Callable[[Sequence[Offer]], Iterator[str]]


def problems(offers: Sequence[Offer], today: date, checks: Sequence[Check] = ()) -> list[str]:
    """Everything that is wrong by these checks, or all; empty when the offers may be published."""
    found = [problem for check in checks or CHECKS for problem in check(offers)]
    late = [offer for offer in offers if offer.valid_from > today + timedelta(days=1)]
    return found + [f"{named(offer)}: is of a day that has not come" for offer in late]


def named(offer: Offer) -> str:
    """An offer and its date, as a person looks for it."""
    return f"{offer.id} of {offer.valid_from}"


def each_is_unique(offers: Sequence[Offer]) -> Iterator[str]:
    """An id has one price on a day."""
    times = Counter((offer.id, offer.valid_from) for offer in offers)
    yield from (f"{offer_id} of {day}: is there {n} times" for (offer_id, day), n in times.items() if n > 1)


def each_costs_something(offers: Sequence[Offer]) -> Iterator[str]:
    """No price is zero or less."""
    for offer in offers:
        if not (offer.usd_per_hour or offer.usd_per_cpu_hour) or offer.usd_per_hour < 0:
            yield f"{named(offer)}: costs {offer.usd_per_hour}"


def each_says_where_and_when(offers: Sequence[Offer]) -> Iterator[str]:
    """A price without a date and a source can't be checked by anyone."""
    for offer in offers:
        if not offer.source.strip() or offer.valid_from < EARLIEST:
            yield f"{named(offer)}: has no source, or no date"


def gpus_are_known(offers: Sequence[Offer]) -> Iterator[str]:
    """Models that exist, in numbers that are built."""
    for offer in offers:
        if offer.gpu_model and offer.gpu_model not in GPU_MEMORY_GIB.keys() | OTHER_GPUS:
            yield f"{named(offer)}: unknown GPU {offer.gpu_model!r}"
        if offer.gpu_count not in KNOWN_GPU_COUNTS or bool(offer.gpu_model) != bool(offer.gpu_count):
            yield f"{named(offer)}: has {offer.gpu_count:g} GPUs of {offer.gpu_model!r}"


def serverless_is_by_the_gpu(offers: Sequence[Offer]) -> Iterator[str]:
    """A serverless price is of one GPU, with rates for both CPUs and memory or for neither; nodes have no rates."""
    for offer in offers:
        serverless, rates = offer.tier is Tier.SERVERLESS, (offer.usd_per_cpu_hour, offer.usd_per_gib_hour)
        if serverless and offer.gpu_count > 1:
            yield f"{named(offer)}: a serverless price is of one GPU, not of {offer.gpu_count:g}"
        if (None in rates) != (rates == (None, None)) or (not serverless and rates != (None, None)):
            yield f"{named(offer)}: has CPU and memory rates {rates}"


def rates_are_plausible(offers: Sequence[Offer]) -> Iterator[str]:
    """CPUs and memory cost about what they do elsewhere; a price per second or per month is caught here."""
    for offer in offers:
        for rate, (low, high) in ((offer.usd_per_cpu_hour, CPU_HOUR_USD), (offer.usd_per_gib_hour, GIB_HOUR_USD)):
            if rate is not None and not low <= rate <= high:
                yield f"{named(offer)}: {rate} an hour is not between {low} and {high}"


def gpus_cost_about_the_same(offers: Sequence[Offer]) -> Iterator[str]:
    """The price per GPU is within a factor of the median of its model."""
    by_model: dict[str, list[tuple[Decimal, Offer]]] = {}
    for offer in offers:
        if per_gpu := offer.usd_per_gpu_hour:
            by_model.setdefault(offer.gpu_model, []).append((per_gpu, offer))
    for model, priced in by_model.items():
        middle = median(per_gpu for per_gpu, _ in priced)
        for per_gpu, offer in priced:
            if not middle <= per_gpu * WIDEST_SPREAD <= middle * WIDEST_SPREAD**2:
                yield f"{named(offer)}: {per_gpu:.4f} per {model} and hour; the median is {middle:.4f}"


def on_demand_is_dearest(offers: Sequence[Offer]) -> Iterator[str]:
    """A commitment is cheaper than on demand, of the same thing in the same region; spot is capped there."""
    listed: dict[tuple[str, ...], Decimal] = {}
    for offer in offers:
        if offer.tier is Tier.ON_DEMAND:
            highest = listed.get(_thing(offer), offer.usd_per_hour)
            listed[_thing(offer)] = max(highest, offer.usd_per_hour)
    for offer in offers:
        on_demand = listed.get(_thing(offer))
        if on_demand is None or offer.usd_per_hour < on_demand:
            continue
        if offer.tier.is_commitment or (offer.tier is Tier.SPOT and offer.usd_per_hour > on_demand):
            yield f"{named(offer)}: {offer.usd_per_hour} is no less than on demand, {on_demand}"


def billing_is_of_one_life(offers: Sequence[Offer]) -> Iterator[str]:
    """Granularity and minimum are of a node's or container's life, not of a contract."""
    for offer in offers:
        if not 1 <= offer.billing.granularity_s <= LONGEST_BILLED_S or offer.billing.minimum_s > LONGEST_BILLED_S:
            yield f"{named(offer)}: is billed by {offer.billing}"


def _thing(offer: Offer) -> tuple[str, ...]:
    return offer.provider, offer.product, offer.sku, offer.region


CHECKS: Final[tuple[Check, ...]] = (
    each_is_unique,
    each_costs_something,
    each_says_where_and_when,
    gpus_are_known,
    serverless_is_by_the_gpu,
    rates_are_plausible,
    gpus_cost_about_the_same,
    on_demand_is_dearest,
    billing_is_of_one_life,
)

# Prices that were asked for are judged when they come, by the last price and the median of their tier.
CHECKS_OF_LIVE: Final = tuple(check for check in CHECKS if check not in (gpus_are_known, gpus_cost_about_the_same))
