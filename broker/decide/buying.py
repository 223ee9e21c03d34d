"""What ran, the broker's pools and the price book → what a plan of its own is asked: the demand, and the ways to buy.

Its own pools come at their own prices. Beside them are commitments to nodes like its clusters', and whatever it has no
pool for at the cheapest price that anybody asks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from broker.decide.demand import demand
from broker.decide.own_hardware import HOURS_PER_YEAR
from broker.decide.price_book import PriceBook, unit_price
from broker.decide.proposing import commitments
from broker.decide.workload import Floats, Workload
from broker.model.money import NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind
from broker.model.runs import Run

STEP_S = 3_600.0
WayKind = Literal["committed", "cluster", "serverless"]  # as in a file of pools
TERM_H = {Tier.COMMIT_1Y: float(HOURS_PER_YEAR), Tier.COMMIT_3Y: 3.0 * HOURS_PER_YEAR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to buy GPUs of one model."""

    name: str  # of the pool, or the id of the offer
    kind: WayKind
    usd_per_hour: float  # of a node; of serverless, of a GPU with its part of CPUs and memory
    node: int  # GPUs of a node; 1 of serverless
    max_gpus: float | None = None  # None: no limit
    boot_s: float = 0.0
    term_h: float | None = None  # of a commitment
    offers: tuple[Offer, ...] = ()  # what the price is made of


def gpu_hours(runs: Sequence[Run], since_ns: int, now_ns: int) -> dict[str, float]:
    """GPU-hours of work by model, most first."""
    found: dict[str, float] = defaultdict(float)
    for run in runs:
        if run.resources.gpus and run.resources.gpu_model:
            span_ns = min(run.ended_ns or now_ns, now_ns) - max(run.started_ns, since_ns)
            found[run.resources.gpu_model] += run.resources.gpus * max(span_ns, 0) / NS_PER_S / STEP_S
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def busy_gpus(runs: Sequence[Run], model: str, since_ns: int, now_ns: int) -> Floats:
    """GPUs of a model that were busy, on average in each of the whole hours before now, from the first that was."""
    seen = [run for run in runs if run.resources.gpu_model == model and run.started_ns < now_ns]
    first_ns = max(min((run.started_ns for run in seen), default=now_ns), since_ns)
    hours = max(math.ceil((now_ns - first_ns) / NS_PER_S / STEP_S), 1)
    begin_ns = now_ns - round(hours * STEP_S * NS_PER_S)
    starts = [max(run.started_ns, begin_ns) for run in seen]
    ends = [min(run.ended_ns or now_ns, now_ns) for run in seen]
    work = Workload.of(
        [(start - begin_ns) / NS_PER_S for start in starts],
        [max(end - start, 0) / NS_PER_S for start, end in zip(starts, ends, strict=True)],
        [run.resources.gpus for run in seen],
    )
    return demand(work, STEP_S, hours * STEP_S + STEP_S / 2).gpus


def ways(model: str, pools: Sequence[Pool], offers: Sequence[Offer], day: date) -> tuple[Way, ...]:
    """How GPUs of a model can be bought: commitments, then what is held, then serverless."""
    having = [pool for pool in pools if pool.unit.gpus and model in (pool.unit.gpu_model, *pool.gpu_models)]
    clusters = [pool for pool in having if pool.kind is PoolKind.CLUSTER]
    held = [way for pool in clusters if (way := _held(pool, day)) is not None]
    sold = [
        way
        for pool in having
        if pool.kind is PoolKind.SERVERLESS and (way := _sold(pool, model, clusters, day)) is not None
    ]
    book = PriceBook(offers)
    there = {way.name: way for pool in clusters for way in _committed(commitments(pool, offers, day))}
    firm = list(there.values()) or list(_committed(book.find(day, gpu=model)))
    held = held or list(_cheapest(book, model, Tier.ON_DEMAND, "cluster", day))
    sold = sold or list(_cheapest(book, model, Tier.SERVERLESS, "serverless", day))
    return (*firm, *held, *sold)


def document(found: Sequence[Way], model: str) -> Mapping[str, object]:
    """The ways as the file of pools that a plan reads."""
    return {"pools": {way.name: _part(way, model) for way in found}}


def _part(way: Way, model: str) -> dict[str, object]:
    part: dict[str, object] = {"kind": way.kind, "usd_per_hour": way.usd_per_hour, "gpu": model, "gpus": way.node}
    known = {"max_gpus": way.max_gpus, "boot": way.boot_s / STEP_S or None, "term": way.term_h}
    return part | {name: value for name, value in known.items() if value is not None}


def _held(pool: Pool, day: date) -> Way | None:
    price = unit_price(pool.offers, pool.unit, day)
    if price is None or not price.usd_per_hour:
        return None
    node = _node(pool.unit.gpus)
    return Way(
        name=pool.name,
        kind="cluster",
        usd_per_hour=float(price.usd_per_hour) * node / pool.unit.gpus,
        node=node,
        max_gpus=pool.max_units * pool.unit.gpus,
        boot_s=pool.cold_start_s,
        offers=price.offers,
    )


def _sold(pool: Pool, model: str, clusters: Sequence[Pool], day: date) -> Way | None:
    """A GPU with the part of CPUs and memory that a node of the first cluster has for it, or a container at most."""
    like = next((cluster.unit for cluster in clusters), pool.unit)
    one = replace(
        like, gpus=1.0, gpu_model=model, cpus=like.cpus / like.gpus, memory_bytes=int(like.memory_bytes / like.gpus)
    )
    price = unit_price(pool.offers, one, day)
    if price is None or not price.usd_per_hour:
        return None
    return Way(name=pool.name, kind="serverless", usd_per_hour=float(price.usd_per_hour), node=1, offers=price.offers)


def _committed(offers: Sequence[Offer]) -> Iterator[Way]:
    """The cheapest for each term."""
    for tier, term_h in TERM_H.items():
        for offer in [each for each in offers if each.tier is tier][:1]:
            yield _offered(offer, "committed", term_h)


def _cheapest(book: PriceBook, model: str, tier: Tier, kind: WayKind, day: date) -> Iterator[Way]:
    for offer in book.find(day, gpu=model, tier=tier)[:1]:
        yield _offered(offer, kind)


def _offered(offer: Offer, kind: WayKind, term_h: float | None = None) -> Way:
    node = 1 if kind == "serverless" else _node(offer.gpu_count)
    usd = float(offer.usd_per_gpu_hour or offer.usd_per_hour) * node
    return Way(name=offer.id, kind=kind, usd_per_hour=usd, node=node, term_h=term_h, offers=(offer,))


def _node(gpus: float) -> int:
    return max(round(gpus), 1)
