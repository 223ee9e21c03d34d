"""Price sources → what GPUs cost today, and how busy one must be for holding it to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date

from broker.decide.breakeven import Conditions
from broker.decide.price_book import PriceBook
from broker.model.offers import Offer
from broker.model.times import day_of
from broker.ports import Clock
from broker.run.money.breakeven_table import Asked, BreakevenTable, breakeven_table
from broker.run.plugins import price_offers


class Pricing:
    """What is known of prices, whatever the pools are made of."""

    def __init__(self, clock: Clock, stale_price_days: int) -> None:
        self._clock = clock
        self.stale_price_days = stale_price_days

    def today(self) -> date:
        """The day in UTC."""
        return day_of(self._clock.now_ns())

    async def offers(self, gpu: str | None) -> list[Offer]:
        """Today's offers that have a GPU, or this model; cheapest per GPU first. Raises `PriceMissing`."""
        offers = await asyncio.to_thread(price_offers)
        return [offer for offer in PriceBook(offers).find(self.today(), gpu=gpu) if offer.usd_per_gpu_hour]

    async def breakeven(
        self, gpu: str, conditions: Conditions, serverless: Sequence[str], *, every: bool
    ) -> BreakevenTable:
        """Cluster offers of a GPU against serverless ones. Raises `UnknownName`, `PriceMissing`."""
        offers = await asyncio.to_thread(price_offers)
        asked = Asked(
            day=self.today(),
            conditions=conditions,
            serverless=tuple(serverless),
            every_offer=every,
            stale_days=self.stale_price_days,
        )
        return breakeven_table(offers, gpu, asked)
