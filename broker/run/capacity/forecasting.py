"""Forecasting: a forecast of each pool's busy units now and then, kept in the store and at hand for placements."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from broker.decide.pool_state import Expected
from broker.model.errors import BrokerError
from broker.model.foresight import LOOK_BACK_S, Outlook
from broker.model.jobs import JobState
from broker.model.money import NS_PER_S
from broker.model.pools import Capability
from broker.model.runs import Run
from broker.model.times import day_of
from broker.ports import Clock, Store
from broker.run.capacity.compiling import HERE, Preparation, loaded
from broker.run.capacity.schedules_ahead import planned_ahead
from broker.run.pools import RunningPool

log = structlog.get_logger()

EVERY_S: Final = 3_600.0
AFTER_START_S: Final = 30.0  # the first one: what runs then is more urgent
QUEUED: Final = 1_000  # jobs at the head of the queue that count as work


class Forecasting:
    """Looks ahead for each pool."""

    def __init__(
        self,
        pools: Mapping[str, RunningPool],
        store: Store,
        clock: Clock,
        prepared: Preparation = HERE,
    ) -> None:
        self.current: dict[str, Outlook] = {}
        self.expected: dict[str, Expected] = {}  # of clusters whose work could run elsewhere
        self._pools = pools
        self._store = store
        self._clock = clock
        self._prepared = prepared

    async def run(self) -> None:
        """Forecasts again and again until cancelled; what fails is said in the log and tried again."""
        await asyncio.sleep(AFTER_START_S)
        while True:
            for running in [each for each in self._pools.values() if each.elsewhere is None]:
                try:
                    await self._be_prepared()
                    await self.step(running)
                except (BrokerError, OSError) as error:
                    log.warning("no forecast could be made", pool=running.pool.name, error=str(error))
                except Exception:
                    log.exception("forecasting failed; the broker goes on without it", pool=running.pool.name)
            await asyncio.sleep(EVERY_S)

    async def _be_prepared(self) -> None:
        """Before the first forecast from what has run."""
        counts = await asyncio.to_thread(self._store.counts)
        if any(number for state, number in counts.items() if state is not JobState.QUEUED):
            await self._prepared.ready()

    async def step(self, running: RunningPool) -> Outlook | None:
        """Makes and keeps a forecast, unless one is fresh; None where nothing has run yet."""
        pool, now_ns = running.pool, self._clock.now_ns()
        last = self.current.get(pool.name) or await asyncio.to_thread(self._store.last_outlook, pool.name)
        if last is not None and now_ns - last.at_ns < EVERY_S * NS_PER_S / 2:
            await self._take_up(running, last)
            return last
        made = await self.look(running)
        if made is not None:
            await asyncio.to_thread(self._store.keep_outlook, made)
            await self._take_up(running, made)
        return made

    async def _take_up(self, running: RunningPool, made: Outlook) -> None:
        """Lets placements know."""
        await loaded()
        from broker.decide.outlook import expected

        pool, day = running.pool, day_of(made.at_ns)
        others = [each.pool for each in self._pools.values() if each.pool is not pool]
        self.current[pool.name] = made
        found = await asyncio.to_thread(expected, made, pool, others, _most(running), day)
        if found is None:
            self.expected.pop(pool.name, None)
        else:
            self.expected[pool.name] = found

    async def look(self, running: RunningPool) -> Outlook | None:
        """The forecast as of now, which is not kept."""
        pool, now_ns = running.pool, self._clock.now_ns()
        runs = await asyncio.to_thread(self._seen, running, now_ns)
        schedules = await asyncio.to_thread(self._store.schedules)
        if not runs and not schedules:
            return None  # and nothing that weighs is loaded for it
        await loaded()
        from broker.decide.outlook import foresee

        return await asyncio.to_thread(lambda: foresee(pool, runs, now_ns, planned_ahead(schedules, now_ns)))

    def _seen(self, running: RunningPool, now_ns: int) -> Sequence[Run]:
        history_ns = round(LOOK_BACK_S * NS_PER_S)
        runs = self._store.runs(now_ns - history_ns)
        if not runs:
            return ()
        from broker.decide.steering import waiting  # in a thread

        return (*runs, *waiting(self._store.placeable(now_ns, QUEUED), running.pool))


def _most(running: RunningPool) -> int:
    """The units that a pool may have: as many as it may grow to, or as there are."""
    seen = running.last_capacity
    if seen is None or Capability.SCALE in running.pool.capabilities:
        return running.pool.max_units
    return len(seen.units)
