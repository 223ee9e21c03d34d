"""Offers and breakevens as the API shows them."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from broker.api.decisions import price
from broker.api.schemas import PriceView
from broker.decide.breakeven import Breakeven, Component
from broker.decide.price_book import stale
from broker.model.offers import Offer
from broker.run.money.breakeven_table import BreakevenTable


class OfferView(PriceView):
    """A price that anybody can have."""

    provider: str
    product: str
    sku: str
    region: str = Field(description="Empty: everywhere.")
    usd_per_gpu_hour: str | None = Field(description="The price divided by its GPUs.")


class OfferList(BaseModel):
    """Offers of today, cheapest per GPU first."""

    day: date
    offers: list[OfferView]


class ComponentView(BaseModel):
    """One part of a rate."""

    what: str
    usd_per_hour: str


class BreakevenView(BaseModel):
    """One way to hold a GPU against one way to buy the work."""

    cluster: OfferView
    serverless: OfferView
    utilization: float = Field(description="Busy share above which holding costs less; above 1 it never does.")
    held_usd_per_hour: str = Field(description="Of one GPU held for an hour, busy or not.")
    bought_usd_per_hour: str = Field(description="Of one GPU-hour of work, bought.")
    held: list[ComponentView]
    bought: list[ComponentView]


class BreakevenList(BaseModel):
    """The breakevens of a GPU model: cluster offers, cheapest first, each against every serverless offer."""

    gpu_model: str
    day: date
    pairs: list[BreakevenView]


def offers(found: list[Offer], day: date, stale_days: int) -> OfferList:
    """Offers with their age."""
    return OfferList(day=day, offers=[_offer(each, day, stale_days) for each in found])


def breakevens(table: BreakevenTable) -> BreakevenList:
    """A breakeven table."""
    day, stale_days = table.asked.day, table.asked.stale_days
    return BreakevenList(
        gpu_model=table.pair.cluster.gpu_model,
        day=day,
        pairs=[_breakeven(each, day, stale_days) for each in table.cells],
    )


def _breakeven(found: Breakeven, day: date, stale_days: int) -> BreakevenView:
    return BreakevenView(
        cluster=_offer(found.cluster, day, stale_days),
        serverless=_offer(found.serverless, day, stale_days),
        utilization=float(found.utilization),
        held_usd_per_hour=str(found.held_usd),
        bought_usd_per_hour=str(found.bought_usd),
        held=[_component(each) for each in found.held],
        bought=[_component(each) for each in found.bought],
    )


def _component(found: Component) -> ComponentView:
    return ComponentView(what=found.what, usd_per_hour=str(found.usd_per_hour))


def _offer(found: Offer, day: date, stale_days: int) -> OfferView:
    shown = price(found, age_days=found.age_days(day), stale=stale(found, day, stale_days))
    return OfferView(
        **shown.model_dump(),
        provider=found.provider,
        product=found.product,
        sku=found.sku,
        region=found.region,
        usd_per_gpu_hour=None if found.usd_per_gpu_hour is None else str(found.usd_per_gpu_hour),
    )
