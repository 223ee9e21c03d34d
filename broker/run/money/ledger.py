"""What a pool's executor measured → charges in the store, each time and each part of a unit once.

The watermark and the charges before it are stored in one transaction: a broker that dies in between settles again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import structlog

from broker.decide.charge import estimated, settle
from broker.decide.price_book import price_in, unit_price
from broker.decide.tariff import Price, PriceOf
from broker.model.errors import BrokerError, ExecutorError
from broker.model.money import NS_PER_S
from broker.model.pools import Pool
from broker.model.resources import Resources
from broker.model.times import day_of
from broker.model.usage import Charge, UnitUsage
from broker.ports import Clock, Executor, Store

log = structlog.get_logger()


class Ledger:
    """Settles pools, one settlement of a pool at a time. A pool that fails does not hold up the others."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def settle(self, pool: Pool, executor: Executor) -> tuple[Charge, ...]:
        """Charges what the pool used since its watermark, and returns these charges.

        Raises what the executor and the store raise, and ExecutorError when the executor's report can't be true.
        """
        async with self._turns[pool.name]:
            try:
                return await self._settle(pool, executor)
            except BrokerError:
                raise  # whoever asked for it says what follows
            except Exception as error:
                log.exception("an executor failed to report usage", pool=pool.name)
                raise ExecutorError(
                    f"pool {pool.name}: executor {pool.executor} failed to report usage: {error!r}"
                ) from error

    async def _settle(self, pool: Pool, executor: Executor) -> tuple[Charge, ...]:
        watermark_ns = await asyncio.to_thread(self._store.watermark, pool.name)
        report = await executor.usage(watermark_ns)
        self._check_time(pool, watermark_ns, report.as_of_ns)
        open_units = await asyncio.to_thread(self._store.open_units, pool.name)
        charges = settle(pool, watermark_ns, open_units, report, prices(pool))
        told = estimated(pool.name, report.estimates)
        await asyncio.to_thread(self._store.settle, pool.name, report, (*charges, *told))
        return charges

    def _check_time(self, pool: Pool, watermark_ns: int, as_of_ns: int) -> None:
        ahead_s = (as_of_ns - self._clock.now_ns()) / NS_PER_S
        behind_s = (watermark_ns - as_of_ns) / NS_PER_S
        if ahead_s > 0:
            raise ExecutorError(f"pool {pool.name} reports usage up to {ahead_s:.3f} s from now: check its clock")
        if behind_s > 0:
            raise ExecutorError(
                f"pool {pool.name} reports usage up to {behind_s:.3f} s before what is already charged: "
                "the clock was set back; what runs meanwhile is charged from the old time on"
            )


def prices(pool: Pool) -> PriceOf:
    """What a unit of a pool costs at a time, by the pool's offers. Each price is looked up once a day and shape."""
    found: dict[tuple[Resources, bool, int], Price | None] = {}

    def price_of(unit: UnitUsage, at_ns: int) -> Price | None:
        day = day_of(at_ns)
        key = (unit.resources, unit.head, day.toordinal())
        if key not in found:
            found[key] = (
                unit_price(pool.head_offers, unit.resources, day) if unit.head else price_in(pool, unit.resources, day)
            )
        return found[key]

    return price_of
