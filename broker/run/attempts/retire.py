"""Retirement: ended attempts → logs and results archived, usage charged, and only then forgotten by their executor.

Each step may be repeated after a crash; an attempt leaves its executor only when nothing more is to be read from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from broker.model.errors import BrokerError
from broker.run.attempts.archive import Archive
from broker.run.money.ledger import Ledger
from broker.run.pools import RunningPool
from broker.run.secrecy.masking import Mask

log = structlog.get_logger()

BATCH_WINDOW_S = 0.5  # ended attempts are collected this long, so that many share one settlement
RETRY_S = 5.0
MaskOf = Callable[[str], Awaitable[Mask]]  # of an attempt


class Retirement:
    """Retires the ended attempts of one pool."""

    def __init__(self, pool: RunningPool, archive: Archive, ledger: Ledger, mask: MaskOf) -> None:
        self._pool = pool
        self._mask = mask
        self._archive = archive
        self._ledger = ledger
        self._ended: dict[str, None] = {}
        self._more = asyncio.Event()

    def add(self, attempt_ids: list[str]) -> None:
        """Ended attempts to retire; repeats are welcome."""
        if attempt_ids:
            self._ended.update(dict.fromkeys(attempt_ids))
            self._more.set()

    async def run(self) -> None:
        """Retires until cancelled; what fails is tried again and said in the log."""
        while True:
            await self._more.wait()
            await asyncio.sleep(BATCH_WINDOW_S)
            self._more.clear()
            batch = list(self._ended)
            try:
                await self.retire(batch)
            except (BrokerError, OSError) as error:
                log.warning("could not retire attempts", pool=self._pool.pool.name, error=str(error))
                self._more.set()
                await asyncio.sleep(RETRY_S)

    async def retire(self, batch: list[str]) -> None:
        """Archives, charges and forgets these. Raises what the executor, the store or the disk raises."""
        executor = self._pool.executor
        if executor is None or not batch:
            return
        for attempt_id in batch:
            if not self._archive.holds(attempt_id):
                await self._archive.keep(executor, attempt_id, await self._mask(attempt_id))
                await asyncio.sleep(0)  # nothing in it may have waited, and a batch is long: others first
        await self._ledger.settle(self._pool.pool, executor)
        await executor.forget(batch)
        for attempt_id in batch:
            self._ended.pop(attempt_id, None)
