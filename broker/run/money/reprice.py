"""Price sources read again and again → pools at the prices of now, without a new start of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from broker.model.errors import BrokerError
from broker.model.offers import Offer
from broker.model.pools import Pool
from broker.run.capacity.autopilot import Autopilot
from broker.run.pools import RunningPool

log = structlog.get_logger()

LOOK_EVERY_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPools:
    """What the price sources say now."""

    pools: tuple[Pool, ...]  # as configured, with the offers that price them
    commitments: tuple[Offer, ...]  # what could be bought for a term


class Repricing:
    """Gives running pools the prices that have come since. What was charged keeps its price."""

    def __init__(self, read: Callable[[], PricedPools], pools: Mapping[str, RunningPool], autopilot: Autopilot) -> None:
        self._read, self._pools, self._autopilot = read, pools, autopilot

    async def run(self) -> None:
        """Looks again and again. Prices that can't be read are a warning, and the old ones stay."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except BrokerError as error:
                log.warning("prices could not be read again; the old ones stay", error=str(error))

    async def look(self) -> None:
        """Takes over what the price sources say now. Raises what reading them raises."""
        found = await asyncio.to_thread(self._read)
        self._autopilot.book = found.commitments
        for pool in found.pools:
            running = self._pools[pool.name]
            prices = (pool.offers, pool.head_offers)
            if prices != (running.pool.offers, running.pool.head_offers):
                running.pool = replace(running.pool, offers=pool.offers, head_offers=pool.head_offers)
                log.info("new prices", pool=pool.name)
