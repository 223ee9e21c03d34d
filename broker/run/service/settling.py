"""Settling on demand: usage is charged before somebody looks at a cost, but not each time that somebody looks."""

from __future__ import annotations

import asyncio

from broker.model.money import NS_PER_S
from broker.run.broker import Broker


class Settling:
    """Asks for a settlement when the last one that it asked for is too old."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._settled_ns = 0
        self._turn = asyncio.Lock()

    async def up_to(self, wanted_ns: int) -> None:
        """Returns when usage up to this time has been asked for; at once when that was done before."""
        async with self._turn:
            if self._settled_ns < wanted_ns:
                asked_ns = self._broker.clock.now_ns()
                await self._broker.settle_now()
                self._settled_ns = asked_ns

    async def within(self, age_s: float) -> None:
        """Returns when what is charged is at most this old."""
        await self.up_to(self._broker.clock.now_ns() - int(age_s * NS_PER_S))
