"""What the broker that drives a pool does for it: follows it, retires what has ended, charges what it used."""

from __future__ import annotations

import asyncio

import structlog

from broker.model.errors import BrokerError
from broker.run.attempts.follow import Follower
from broker.run.attempts.launcher import Launcher
from broker.run.attempts.register import Register
from broker.run.attempts.retire import Retirement
from broker.run.money.ledger import Ledger
from broker.run.pools import RunningPool

log = structlog.get_logger()


class Duty:
    """One pool's."""

    def __init__(
        self,
        pool: RunningPool,
        register: Register,
        launcher: Launcher,
        retirement: Retirement,
        ledger: Ledger,
        settle_every_s: float,
    ) -> None:
        self._pool = pool
        self._register = register
        self._ledger = ledger
        self._settle_every_s = settle_every_s
        self._retirement = retirement
        self._follower = Follower(pool, register, launcher, retirement)

    async def run(self) -> None:
        """Does it until cancelled."""
        await self._register.load(self._pool.pool.name)
        async with asyncio.TaskGroup() as tasks:
            for work in (self._follower.run(), self._retirement.run(), self._settle_often()):
                tasks.create_task(work)

    async def _settle_often(self) -> None:
        while True:
            await asyncio.sleep(self._settle_every_s)
            await self.settle()

    async def settle(self) -> None:
        """Charges what the pool used, if it answers."""
        if self._pool.executor is None:
            return
        try:
            await self._ledger.settle(self._pool.pool, self._pool.executor)
        except BrokerError as error:
            log.warning("usage not settled; it will be with the next try", pool=self._pool.pool.name, error=str(error))
