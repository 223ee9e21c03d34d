"""Retirement: ended attempts → logs and results archived, usage charged, and only then forgotten by their executor.

Each step may be repeated after a crash; an attempt leaves its executor only when nothing more is to be read from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from broker.model.errors import BrokerError, StoreError, Unreachable
from broker.ports import Executor
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
        self._ended: dict[str, float] = {}  # attempt -> before which monotonic time it is not tried again
        self._more = asyncio.Event()

    def add(self, attempt_ids: list[str]) -> None:
        """Ended attempts to retire; repeats are welcome."""
        if attempt_ids:
            self._ended.update((each, 0.0) for each in attempt_ids if each not in self._ended)
            self._more.set()

    async def run(self) -> None:
        """Retires until cancelled; what fails is tried again and said in the log."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._ended else None):
                    await self._more.wait()
            await asyncio.sleep(BATCH_WINDOW_S)
            self._more.clear()
            now_s = time.monotonic()
            try:
                await self.retire([each for each, not_before_s in self._ended.items() if not_before_s <= now_s])
            except (BrokerError, OSError) as error:
                log.warning("could not retire attempts", pool=self._pool.pool.name, error=str(error))
                await asyncio.sleep(RETRY_S)
            except Exception:
                log.exception("could not retire attempts", pool=self._pool.pool.name)
                await asyncio.sleep(RETRY_S)

    async def retire(self, batch: list[str]) -> None:
        """Archives, charges and forgets those whose records can be had. Raises as the executor and the store."""
        executor = self._pool.executor
        if executor is None or not batch:
            return
        kept = [attempt_id for attempt_id in batch if await self._kept(executor, attempt_id)]
        if not kept:
            return
        await self._ledger.settle(self._pool.pool, executor)
        await executor.forget(kept)
        for attempt_id in kept:
            self._ended.pop(attempt_id, None)

    async def _kept(self, executor: Executor, attempt_id: str) -> bool:
        """Whether what an attempt wrote is archived; where it is not, it is tried again, and no other waits for it."""
        try:
            if not self._archive.holds(attempt_id):
                await self._archive.keep(executor, attempt_id, await self._mask(attempt_id))
                await asyncio.sleep(0)  # nothing in it may have waited, and a batch is long: others first
        except (Unreachable, StoreError):
            raise
        except Exception as error:
            foreseen = isinstance(error, BrokerError | OSError)
            log.error("could not archive an attempt", attempt=attempt_id, error=str(error), exc_info=not foreseen)
            self._ended[attempt_id] = time.monotonic() + RETRY_S
            return False
        return True
