"""The broker's pools and the price book → the ways to buy that a plan of its own may choose from.

Its own pools come at their own prices. Beside them are commitments to nodes like its clusters', and whatever it has no
pool for at the cheapest price that anybody asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from operator import attrgetter
from typing import Literal

from broker.decide.models_of_work import Work
from broker.decide.own_hardware import HOURS_PER_YEAR
from broker.decide.price_book import PriceBook, unit_price
from broker.decide.proposing import commitments
from broker.decide.wording import offered
from broker.model.offers import Offer, Tier
from broker.model.pools import Pool, PoolKind

HOUR_S = 3_600.0
WayKind = Literal["committed", "cluster", "serverless"]  # as in a file of pools
TERM_H = {Tier.COMMIT_1Y: float(HOURS_PER_YEAR), Tier.COMMIT_3Y: 3.0 * HOURS_PER_YEAR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to buy GPUs of one model."""

    name: str  # of the pool, with the model where it has several; or that of the offer, see `wording.offered`
    gpu: str  # the model
    kind: WayKind
    usd_per_hour: float  # of a node; of serverless, of a GPU with its part of CPUs and memory
    node: int  # GPUs of a node; 1 of serverless
    max_gpus: float | None = None  # None: no limit
    boot_s: float = 0.0
    term_h: float | None = None  # of a commitment
    offers: tuple[Offer, ...] = ()  # what the price is made of


def ways(model: str, pools: Sequence[Pool], offers: Sequence[Offer], day: date) -> tuple[Way, ...]:
    """How GPUs of a model can be bought: commitments, then what is held, then serverless."""
    having = [pool for pool in pools if pool.unit.gpus and model in (pool.unit.gpu_model, *pool.gpu_models)]
    clusters = [pool for pool in having if pool.kind is PoolKind.CLUSTER]
    held = [way for pool in clusters if (way := _held(pool, model, day)) is not None]
    sold = [
        way
        for pool in having
        if pool.kind is PoolKind.SERVERLESS and (way := _sold(pool, model, clusters, day)) is not None
    ]
    book = PriceBook(offers)
    there = {way.offers[0].id: way for pool in clusters for way in _committed(commitments(pool, offers, day))}
    firm = list(there.values()) or list(_committed(book.find(day, gpu=model)))
    held = held or list(_cheapest(book, model, Tier.ON_DEMAND, "cluster", day))
    sold = sold or list(_cheapest(book, model, Tier.SERVERLESS, "serverless", day))
    return (*firm, *held, *sold)


def told_apart(found: Iterable[Way]) -> tuple[Way, ...]:
    """The ways, with what tells them apart in the names of those that have the same: the model, product or region."""
    each = tuple(found)
    for part in (attrgetter("gpu"), _product, _region):
        parts: defaultdict[str, set[str]] = defaultdict(set)
        for way in each:
            parts[way.name].add(part(way))
        each = tuple(replace(way, name=f"{way.name} {part(way)}") if len(parts[way.name]) > 1 else way for way in each)
    return each


def _product(way: Way) -> str:
    return way.offers[0].sku if way.offers else ""


def _region(way: Way) -> str:
    return way.offers[0].region if way.offers else ""


def document(found: Sequence[Way], works: Sequence[Work]) -> Mapping[str, object]:
    """The ways, and what work may use them, as the file of pools that a plan reads."""
    pools = {way.name: _part(way) for way in found}
    if len({way.gpu for way in found}) == 1:
        return {"pools": pools}
    return {"pools": pools, "classes": {work.name: {"speeds": dict(work.speeds)} for work in works}}


def _part(way: Way) -> dict[str, object]:
    part: dict[str, object] = {"kind": way.kind, "usd_per_hour": way.usd_per_hour, "gpu": way.gpu, "gpus": way.node}
    known = {"max_gpus": way.max_gpus, "boot": way.boot_s / HOUR_S or None, "term": way.term_h}
    return part | {name: value for name, value in known.items() if value is not None}


def _held(pool: Pool, model: str, day: date) -> Way | None:
    price = unit_price(pool.offers, pool.unit, day)
    if price is None or not price.usd_per_hour:
        return None
    node = _node(pool.unit.gpus)
    return Way(
        name=pool.name,
        gpu=model,
        kind="cluster",
        usd_per_hour=float(price.usd_per_hour) * node / pool.unit.gpus,
        node=node,
        max_gpus=pool.most_gpus,
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
    return Way(
        name=pool.name,
        gpu=model,
        kind="serverless",
        usd_per_hour=float(price.usd_per_hour),
        node=1,
        offers=price.offers,
    )


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
    return Way(
        name=offered(offer), gpu=offer.gpu_model, kind=kind, usd_per_hour=usd, node=node, term_h=term_h, offers=(offer,)
    )


def _node(gpus: float) -> int:
    return max(round(gpus), 1)
