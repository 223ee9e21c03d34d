"""All offers and what was asked → the table cluster offer × serverless offer, and one pair to look at closely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from broker.decide.breakeven import (
    TWINS,
    Breakeven,
    Conditions,
    Effect,
    by_job_length,
    purchase_breakeven,
    right_sized,
    sensitivity,
)
from broker.decide.price_book import STALE_AFTER_DAYS, PriceBook
from broker.model.errors import PriceMissing, UnknownName
from broker.model.offers import Offer, Tier
from broker.model.resources import canonical_gpu
from broker.spec.validation_errors import unknown

PREFERRED_SERVERLESS = "modal"  # what is looked at closely where it has the GPU
JOB_LENGTHS_S = tuple(Decimal(seconds) for seconds in (10, 60, 600, 3_600, 86_400))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is compared, and under which conditions; empty tuples mean all."""

    day: date
    conditions: Conditions = field(default_factory=Conditions)
    providers: tuple[str, ...] = ()  # of cluster offers
    tiers: tuple[str, ...] = ()  # of cluster offers
    serverless: tuple[str, ...] = ()  # providers of serverless offers
    every_offer: bool = False  # not only the cheapest of each provider and tier
    utilization: Decimal | None = None  # the busy share at which to say which way is cheaper
    stale_days: int = STALE_AFTER_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cluster offer against every serverless offer, in the order of the table's columns."""

    cluster: Offer
    cells: tuple[Breakeven, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakevenTable:
    """Cluster offers, cheapest first, against serverless offers, cheapest first."""

    asked: Asked
    columns: tuple[Offer, ...]
    rows: tuple[Row, ...]

    @property
    def column(self) -> int:
        """The serverless offer that is looked at closely."""
        providers = [offer.provider for offer in self.columns]
        return providers.index(PREFERRED_SERVERLESS) if PREFERRED_SERVERLESS in providers else 0

    @property
    def cells(self) -> tuple[Breakeven, ...]:
        """All pairs, row by row."""
        return tuple(cell for row in self.rows for cell in row.cells)

    @property
    def pair(self) -> Breakeven:
        """The cheapest cluster offer against it."""
        return self.rows[0].cells[self.column]

    def effects(self) -> tuple[Effect, ...]:
        """What moves the pair's breakeven."""
        pair = self.pair
        return sensitivity(pair.cluster, pair.serverless, self.asked.day, self.asked.conditions)

    def job_lengths(self, conditions: Conditions) -> tuple[tuple[Decimal, Breakeven], ...]:
        """The pair's breakeven for jobs of each length."""
        pair = self.pair
        found = by_job_length(pair.cluster, pair.serverless, self.asked.day, conditions, JOB_LENGTHS_S)
        return tuple(zip(JOB_LENGTHS_S, found, strict=True))


def own_offer(gpu: str, usd_per_gpu_hour: Decimal, day: date) -> Offer:
    """Hardware of one's own as an offer of one GPU."""
    return Offer(
        id="own/hardware/your-own/any/owned",
        provider="own",
        product="hardware",
        sku="your own",
        region="",
        tier=Tier.OWNED,
        gpu_model=canonical_gpu(gpu),
        gpu_count=1,
        cpus=None,
        memory_gib=None,
        usd_per_hour=usd_per_gpu_hour,
        valid_from=day,
        source="you",
    )


def breakeven_table(offers: Sequence[Offer], gpu: str, asked: Asked) -> BreakevenTable:
    """The table of a GPU. Raises `UnknownName` for what no offer has, `PriceMissing` where one side has no offer."""
    model = canonical_gpu(gpu)
    _all_known("GPU", [model], {offer.gpu_model for offer in offers if offer.gpu_model})
    clusters, columns = _sides(PriceBook(offers), model, asked.day)
    sized = clusters if asked.every_offer else right_sized(clusters)
    clusters = only(only(sized, "provider", asked.providers), "tier", asked.tiers)
    columns = _cheapest(only(columns, "provider", asked.serverless))
    if not asked.every_offer:
        clusters = _cheapest(clusters)
    found = [
        Row(
            cluster=cluster,
            cells=tuple(purchase_breakeven(cluster, column, asked.day, asked.conditions) for column in columns),
        )
        for cluster in clusters
    ]
    by_price = sorted(range(len(columns)), key=lambda at: found[0].cells[at].bought_usd)
    rows = tuple(Row(cluster=row.cluster, cells=tuple(row.cells[at] for at in by_price)) for row in found)
    return BreakevenTable(asked=asked, columns=tuple(columns[at] for at in by_price), rows=rows)


def _sides(book: PriceBook, model: str, day: date) -> tuple[list[Offer], list[Offer]]:
    clusters = [offer for offer in book.find(day, gpu=model) if offer.tier is not Tier.SERVERLESS]
    twin = TWINS.get(model, model)
    columns = [offer for offer in book.find(day, gpu=twin) if offer.tier is Tier.SERVERLESS]
    for side, there in (("cluster", clusters), ("serverless", columns)):
        if not there:
            raise PriceMissing(f"no {side} offer for {model} is known on {day}: there is nothing to compare with")
    return clusters, columns


def only(offers: Sequence[Offer], field: str, wanted: Sequence[str]) -> list[Offer]:
    """The offers whose field is one of those wanted; all where none is said. Raises `UnknownName`."""
    _all_known(field, wanted, {str(getattr(offer, field)) for offer in offers})
    return [offer for offer in offers if not wanted or getattr(offer, field) in wanted]


def _cheapest(offers: Iterable[Offer]) -> list[Offer]:
    """The first offer of each provider, product and tier; offers come cheapest first."""
    first: dict[tuple[str, ...], Offer] = {}
    for offer in offers:
        first.setdefault((offer.provider, offer.product, offer.tier), offer)
    return list(first.values())


def _all_known(what: str, wanted: Iterable[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UnknownName(f"{name}: {unknown(name, known, what)}")
