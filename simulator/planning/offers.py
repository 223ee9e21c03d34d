"""Pools of a file, or the prices of today → offers, classes and limits of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from broker.decide.breakeven import reference_container
from broker.decide.plan import Class, Kind, Limit, Offer
from broker.decide.price_book import PriceBook, unit_price
from broker.decide.wording import offered
from broker.model.errors import PriceMissing
from broker.model.offers import Offer as Priced
from broker.model.offers import Tier
from broker.model.resources import GIB
from simulator.planning.document import ClassPart, Match, PoolPart, PoolsFile, Price
from simulator.planning.pools_file import checked_pools, read_pools, wrong
from simulator.prices import known_offers

KINDS = {
    "committed": Kind.COMMITTED,
    "commitment": Kind.COMMITTED,
    "cluster": Kind.HELD,
    "on_demand": Kind.HELD,
    "spot": Kind.HELD,
    "serverless": Kind.SERVERLESS,
}
YEAR_H = 8_760.0
TIERS = {
    Tier.COMMIT_3Y: (Kind.COMMITTED, 3 * YEAR_H),
    Tier.COMMIT_1Y: (Kind.COMMITTED, YEAR_H),
    Tier.ON_DEMAND: (Kind.HELD, None),
    Tier.SERVERLESS: (Kind.SERVERLESS, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What can be bought and what binds."""

    offers: tuple[Offer, ...]
    classes: tuple[Class, ...] = ()
    matches: tuple[Match | None, ...] = ()  # of each class
    limits: tuple[Limit, ...] = ()
    budget_usd: float | None = None
    worst_usd: float | None = None
    commitments_usd: float | None = None
    prices_from: str = ""  # how old the prices are, in words


def ways_of_pools(file: Path) -> Ways:
    """What a YAML file says. Raises `InvalidInput` with line and field."""
    return _ways(read_pools(file), str(file))


def ways_of_document(document: Mapping[str, object], name: str) -> Ways:
    """What such a file would say, as plain values. Raises `InvalidInput` with the field."""
    return _ways(checked_pools(document, name), name)


def _ways(document: PoolsFile, name: str) -> Ways:
    _check_names(document, name)
    return Ways(
        offers=tuple(_offer(pool, part, name) for pool, part in document.pools.items()),
        classes=tuple(_class(each, part) for each, part in document.classes.items()),
        matches=tuple(part.match for part in document.classes.values()),
        limits=tuple(
            Limit(name=each, offers=part.pools, max_gpus=part.max_gpus, max_gpu_hours=part.max_gpu_hours)
            for each, part in document.limits.items()
        ),
        budget_usd=document.budget_usd,
        worst_usd=document.worst_usd,
        commitments_usd=document.commitments_usd,
        prices_from=f"prices as {name} says",
    )


def _check_names(document: PoolsFile, file: str) -> None:
    for title, parts in (("classes", document.classes), ("limits", document.limits)):
        for name, part in parts.items():
            for pool in part.pools:
                if pool not in document.pools:
                    there = ", ".join(document.pools)
                    raise wrong(file, f"{title}.{name}.pools", f"there is no pool {pool!r}: there are {there}")


def _offer(name: str, part: PoolPart, file: str) -> Offer:
    kind = KINDS[part.kind]
    model, _, count = (part.accelerators or "").rpartition(":")
    if part.accelerators and not count.isdigit():
        model, count = part.accelerators, "1"
    node = 1 if kind is Kind.SERVERLESS else part.gpus or int(count or 1)
    usd = part.price.usd_per_hour if isinstance(part.price, Price) else part.price
    usd = part.usd_per_hour if part.usd_per_hour is not None else usd
    if usd is None:
        raise wrong(file, f"pools.{name}.usd_per_hour", "is required: dollars an hour, of a node or a serverless GPU")
    most = part.max_gpus if part.max_nodes is None else part.max_nodes * node
    try:
        return Offer(
            name=name,
            kind=kind,
            usd_per_gpu_hour=usd / node,
            node=node,
            max_gpus=most,
            max_gpu_hours=part.max_gpu_hours,
            gpu=part.gpu or model,
            region=part.region,
            dedicated=part.isolation == "dedicated",
            runtimes=frozenset(part.runtimes),
            term_hours=part.term,
            resize_hours=part.resize,
            boot_hours=part.boot,
            minimum_hours=part.minimum,
            start_usd=part.start_usd,
            running_gpus=None if part.running_nodes is None else part.running_nodes * node,
            interruptions_per_hour=part.interruptions_per_hour,
            redo_hours=part.redo,
            overhead=part.overhead,
        )
    except ValueError as error:
        raise wrong(file, f"pools.{name}", str(error)) from None


def _class(name: str, part: ClassPart) -> Class:
    return Class(
        name=name,
        regions=frozenset(part.regions),
        dedicated=part.isolation == "dedicated",
        runtime=part.runtime,
        interruptible=part.interruptible,
        speeds=part.speeds,
        offers=frozenset(part.pools),
        wait_hours=part.max_wait,
    )


def ways_of_market(gpu: str) -> Ways:
    """For each way to buy this GPU the cheapest offer that is known today. Raises `PriceMissing`."""
    today = datetime.now(UTC).date()
    found = cheapest(gpu, today)
    ages = [offer.age_days(today) for offer, _, _ in found]
    box = reference_container(gpu)
    ids = ", ".join(offer.id for offer, _, _ in found)
    serverless = f"serverless with {box.cpus / 2:g} cores and {box.memory_bytes / GIB:g} GiB"
    return Ways(
        offers=tuple(_bought(*each, today) for each in found),
        prices_from=f"the cheapest known offer of each kind ({ids}), {min(ages)} to {max(ages)} days old; {serverless}",
    )


def cheapest(gpu: str, today: date, region: str = "") -> list[tuple[Priced, Kind, float | None]]:
    """For each way to buy this GPU its cheapest offer, with the hours of its term; in regions whose names begin so.

    Raises `PriceMissing` where there is none.
    """
    book = PriceBook(known_offers())
    found = []
    for tier, how in TIERS.items():
        offers = [each for each in book.find(today, gpu=gpu, tier=tier) if each.region.startswith(region)]
        if offers:
            found.append((min(offers, key=lambda each: usd_per_gpu_hour(each, today)), *how))
    if not found:
        where = f" in {region}…" if region else ""
        raise PriceMissing(
            f"no price of {gpu}{where} is known: `broker prices` lists what there is, --pools brings your own"
        )
    return found


def usd_per_gpu_hour(offer: Priced, today: date) -> float:
    """Dollars for a GPU's hour: of a node its share; of serverless with the CPUs and memory of a usual container."""
    if offer.tier is Tier.SERVERLESS:
        container = replace(reference_container(offer.gpu_model), gpu_model=offer.gpu_model)
        if (whole := unit_price((offer,), container, today)) is not None:
            return float(whole.usd_per_hour) / container.gpus
    return float(offer.usd_per_hour) / max(int(offer.gpu_count), 1)


def _bought(offer: Priced, kind: Kind, term_hours: float | None, today: date) -> Offer:
    node = max(int(offer.gpu_count), 1)
    return Offer(
        name=offered(offer),
        kind=kind,
        usd_per_gpu_hour=usd_per_gpu_hour(offer, today),
        node=1 if kind is Kind.SERVERLESS else node,
        gpu=offer.gpu_model,
        region=offer.region,
        term_hours=term_hours,
    )
