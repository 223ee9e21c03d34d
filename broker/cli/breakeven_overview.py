"""All offers, no GPU in particular → the cheapest of each tier for every GPU, and how the breakevens of a tier lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from broker.cli.breakeven_text import share
from broker.cli.render import Column, table
from broker.decide.breakeven import TWINS, Breakeven, purchase_breakeven, right_sized
from broker.decide.price_book import PriceBook
from broker.model.errors import PriceMissing
from broker.model.offers import Offer, Tier
from broker.run.money.breakeven_table import PREFERRED_SERVERLESS, Asked, only

TIERS = (Tier.SPOT, Tier.COMMIT_3Y, Tier.COMMIT_1Y, Tier.ON_DEMAND)
RULE_OF_THUMB = (Decimal("0.4"), Decimal("0.5"))  # the share that is often quoted for all of them

Cell = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The breakevens of one tier."""

    tier: Tier
    shares: tuple[Decimal, ...]  # ascending

    def row(self) -> dict[str, str]:
        """As the cells of a table."""
        low, high = RULE_OF_THUMB
        return {
            "tier": self.tier.value,
            "offers": str(len(self.shares)),
            "median": f"{median(self.shares):.0%}",
            "range": f"{self.shares[0]:.0%} to {self.shares[-1]:.0%}",
            "within": str(sum(low <= each <= high for each in self.shares)),
            "never": str(sum(each > 1 for each in self.shares)),
        }


def overview(offers: Sequence[Offer], asked: Asked) -> tuple[Breakeven, ...]:
    """Every right-sized cluster offer against one serverless provider, by what that asks for the GPU, then by tier.

    The provider is the first of `asked.serverless`, or the preferred one. Raises `UnknownName`, `PriceMissing`.
    """
    known = PriceBook(offers).find(asked.day)
    (provider, *_) = asked.serverless or (PREFERRED_SERVERLESS,)
    sold = only([offer for offer in known if offer.tier is Tier.SERVERLESS], "provider", [provider])
    by_model = {offer.gpu_model: offer for offer in reversed(sold) if offer.gpu_count}
    sized = right_sized([offer for offer in known if offer.gpu_count and offer.tier is not Tier.SERVERLESS])
    clusters = only(only(sized, "provider", asked.providers), "tier", asked.tiers)
    cells = [
        purchase_breakeven(cluster, by_model[model], asked.day, asked.conditions)
        for cluster in clusters
        if (model := TWINS.get(cluster.gpu_model, cluster.gpu_model)) in by_model
    ]
    if not cells:
        raise PriceMissing(f"no cluster offer has a GPU that {provider} sells on {asked.day}: nothing to compare with")
    return tuple(sorted(cells, key=lambda cell: (cell.bought_usd, cell.cluster.gpu_model, cell.utilization)))


def spreads(cells: Sequence[Breakeven]) -> Iterator[Spread]:
    """How the breakevens of each tier lie."""
    for tier in TIERS:
        if shares := sorted(cell.utilization for cell in cells if cell.cluster.tier is tier):
            yield Spread(tier=tier, shares=tuple(shares))


def print_overview(cells: Sequence[Breakeven], asked: Asked) -> None:
    """One line for each GPU with the cheapest of each tier, then one for each tier with all of it."""
    print(f"Busy share above which holding a GPU costs less than {cells[0].serverless.provider}, {asked.day}.")
    print("The cheapest offer of each tier:")
    models = dict.fromkeys(cell.cluster.gpu_model for cell in cells)
    rows = [{"cells": [cell for cell in cells if cell.cluster.gpu_model == model]} for model in models]
    table(list(_model_columns()), rows)
    print("\nAll of them:")
    low, high = RULE_OF_THUMB
    heads = ("tier", "offers", "median", "range", f"{low:.0%} to {high:.0%}", "never")
    fields = ("tier", "offers", "median", "range", "within", "never")
    columns = [
        Column(head=head, cell=_field(field), right=at > 0)
        for at, (head, field) in enumerate(zip(heads, fields, strict=True))
    ]
    table(columns, [spread.row() for spread in spreads(cells)])


def _model_columns() -> Iterator[Column]:
    yield Column(head="GPU", cell=lambda row: str(row["cells"][0].cluster.gpu_model))
    yield Column(head="buy $/h", cell=lambda row: f"{row['cells'][0].bought_usd:.2f}", right=True)
    for tier in TIERS:
        yield Column(head=tier.value, cell=_cheapest(tier), wrap=True)


def _cheapest(tier: Tier) -> Cell:
    def cell(row: Mapping[str, Any]) -> str:
        of_tier = [each for each in row["cells"] if each.cluster.tier is tier]
        if not of_tier:
            return "–"
        first = min(of_tier, key=lambda each: each.utilization)
        return f"{first.cluster.provider} {first.held_usd:.2f}: {share(first)}"

    return cell


def _field(field: str) -> Cell:
    return lambda row: str(row[field])
