"""The running broker: pools followed, jobs dispatched, usage charged, until it is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import structlog

from broker.decide.rules import PlacementRules
from broker.model.budgets import Budget
from broker.model.errors import BrokerError, UnknownName
from broker.model.jobs import Attempt, AttemptState, JobSpec
from broker.model.money import NS_PER_S
from broker.model.offers import Offer
from broker.model.placement import Placement
from broker.model.pools import Pool, PoolKind
from broker.ports import Clock, Executor, ExecutorContext, LogChunk, SecretSource, Store, Stream
from broker.run.archive import Archive
from broker.run.asking_prices import AskingPrices
from broker.run.autopilot import Autopilot
from broker.run.budgets import Budgets
from broker.run.dispatch import Dispatcher
from broker.run.events import Events
from broker.run.follow import Follower
from broker.run.foresight import Foresight
from broker.run.launcher import Launcher
from broker.run.ledger import Ledger
from broker.run.masking import NOTHING, Mask, Masks
from broker.run.plugins import live_prices, make_executor
from broker.run.pools import RunningPool
from broker.run.register import Register
from broker.run.reprice import PricedPools, Repricing
from broker.run.retire import Retirement
from broker.run.settings.asking import AskingSettings
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.settings.settings import LogLimits

log = structlog.get_logger()

CANCEL_TIMEOUT_S = 30.0
KEEP_LOGS = LogLimits()
NO_AUTOPILOT = AutopilotSettings()
ASK_NOBODY = AskingSettings()
EXPIRE_EVERY_S = 3600.0


class Broker:
    """All that runs in the daemon besides its HTTP face."""

    def __init__(
        self,
        *,
        pools: tuple[Pool, ...],
        store: Store,
        clock: Clock,
        secrets: SecretSource,
        state_dir: Path,
        rules: PlacementRules,
        settle_every_s: float,
        logs: LogLimits = KEEP_LOGS,
        autopilot: AutopilotSettings = NO_AUTOPILOT,
        book: Sequence[Offer] = (),
        budgets: Sequence[Budget] = (),
        priced: Callable[[], PricedPools] | None = None,
        asking: AskingSettings = ASK_NOBODY,
        build: Callable[[ExecutorContext], Executor] = make_executor,
    ) -> None:
        self.store = store
        self.clock = clock
        self.settle_every_s = settle_every_s
        self.logs_kept_s = logs.keep_s
        self.secrets = secrets
        self.masks = Masks(secrets)
        self.archive = Archive(state_dir / "archive")
        self.ledger = Ledger(store, clock)
        self.events = Events()
        self.register = Register(store, clock, self.events, self.masks)
        self.pools: Mapping[str, RunningPool] = {
            pool.name: RunningPool(pool, state_dir / "pools" / pool.name, clock, build, logs.max_stream_bytes)
            for pool in pools
        }
        self.autopilot = Autopilot(autopilot, self.pools, store, clock, book, self.events)
        self.repricing = Repricing(priced, self.pools, self.autopilot) if priced else None
        self.asking: AskingPrices | None = None
        if self.repricing is not None and asking.providers:
            prices = live_prices(asking.providers)
            self.asking = AskingPrices(asking, prices, clock, self.repricing.look, Random())
        self.foresight = Foresight(self.pools, store, clock)
        tails = [pool.name for pool in pools if pool.kind is PoolKind.SERVERLESS]
        self.budgets = Budgets(budgets, store, clock, self.register, tails)
        self.launcher = Launcher(self.pools, self.register, secrets)
        self.dispatcher = Dispatcher(self.pools, self.register, self.launcher, rules, self.foresight, self.budgets)
        self._retirements = {
            name: Retirement(pool, self.archive, self.ledger, self._mask) for name, pool in self.pools.items()
        }
        self._followers = {
            name: Follower(pool, self.register, self.launcher, self._retirements[name])
            for name, pool in self.pools.items()
        }
        self.ended = False  # nothing more will happen: who waits for something should stop
        self._stop = asyncio.Event()
        self._stop_pools = False
        self._drain = True

    @property
    def version(self) -> int:
        """Grows with every recorded change."""
        return self.register.changes.version

    async def changed(self, since: int, timeout_s: float) -> int:
        """The version, as soon as it is not `since`, or after `timeout_s` seconds."""
        return await self.register.changes.after(since, timeout_s)

    def wake(self) -> None:
        """There may be something to dispatch, or to cancel."""
        self.register.work.set()
        self.register.changes.happened()

    def request_stop(self, *, drain: bool) -> None:
        """Asks for the end of the broker and of all that its pools started: after what runs has ended, or now."""
        self._drain, self._stop_pools = drain, True
        self._stop.set()

    def detach(self) -> None:
        """Asks for the end of the broker alone: pools and attempts go on and are found again by the next one."""
        self._stop.set()

    async def run(self) -> None:
        """Runs until asked to stop."""
        await self.register.load()
        await self.budgets.load()
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in self._work()]
        stop: asyncio.Task[Any] = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if self._stop_pools:
                await self._wind_down()
        finally:
            for task in (*tasks, stop):
                task.cancel()
            await asyncio.gather(*tasks, stop, return_exceptions=True)
            await self._close()
            self.ended = True
            self.register.changes.happened()

    def _work(self) -> Iterator[Coroutine[Any, Any, None]]:
        for name, follower in self._followers.items():
            yield follower.run()
            yield self._retirements[name].run()
            yield self._settle_often(self.pools[name])
        yield self._dispatch_when_ready()
        yield self._expire_logs()
        yield self.foresight.run()
        yield self.budgets.run()
        if self.repricing is not None:
            yield self.repricing.run()
        if self.asking is not None:
            yield self.asking.run()
        if self.autopilot.settings.mode is not Mode.OFF:
            yield self.autopilot.run()

    async def ready(self, progress: Callable[[str], None]) -> None:
        """Returns when each pool is up, or known not to come up."""

        async def one(name: str) -> None:
            progress(f"pool {name}: starting")
            await self._followers[name].settled.wait()
            progress(f"pool {name}: {self.pools[name].problem or 'ready'}")

        await asyncio.gather(*(one(name) for name in self.pools))

    async def _dispatch_when_ready(self) -> None:
        await self.ready(lambda _: None)
        await self.dispatcher.run()

    async def _expire_logs(self) -> None:
        while True:
            before_ns = self.clock.now_ns() - round(self.logs_kept_s * NS_PER_S)
            try:
                if dropped := await asyncio.to_thread(self.archive.expire, before_ns):
                    log.info("logs kept long enough were dropped", attempts=dropped)
            except OSError as error:
                log.warning("old logs could not be dropped", error=str(error))
            await asyncio.sleep(EXPIRE_EVERY_S)

    async def _settle_often(self, pool: RunningPool) -> None:
        while True:
            await asyncio.sleep(self.settle_every_s)
            await self._settle(pool)

    async def _settle(self, pool: RunningPool) -> None:
        if pool.executor is None:
            return
        try:
            await self.ledger.settle(pool.pool, pool.executor)
        except BrokerError as error:
            log.warning("usage not settled; it will be with the next try", pool=pool.pool.name, error=str(error))

    async def settle_now(self) -> None:
        """Charges usage up to now, in every pool that answers."""
        await asyncio.gather(*(self._settle(pool) for pool in self.pools.values()))

    async def _wind_down(self) -> None:
        self.dispatcher.stop()
        if not self._drain:
            for held in self.register.live:
                if executor := self._executor(held.attempt):
                    with suppress(BrokerError):
                        await executor.cancel(held.attempt.id)
        limit_s = None if self._drain else CANCEL_TIMEOUT_S
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while any(held.attempt.state is not AttemptState.STORED for held in self.register.live):
                    await self.changed(self.version, 1.0)

    async def _close(self) -> None:
        for pool in self.pools.values():
            executor = pool.executor
            try:
                await pool.close(stop=self._stop_pools)
                if executor is not None and self._stop_pools:
                    await self.ledger.settle(pool.pool, executor)
            except (BrokerError, OSError) as error:
                log.warning("pool did not close cleanly", pool=pool.pool.name, error=str(error))

    async def preview(self, spec: JobSpec, user: str, *, budgets: bool = True) -> Placement:
        """What would be decided for this job now, within budgets or without them; nothing is stored or started."""
        return await self.dispatcher.preview(spec, user, budgets=budgets)

    def _executor(self, attempt: Attempt) -> Executor | None:
        running = self.pools.get(attempt.pool)
        return running.executor if running else None

    async def logs(self, attempt: Attempt, stream: Stream, offset: int, limit: int) -> LogChunk:
        """A piece of an attempt's output, running or ended. Raises KeyError when it never started."""
        if self.archive.holds(attempt.id):
            return await asyncio.to_thread(self.archive.logs, attempt.id, stream, offset, limit)
        executor = self._executor(attempt)
        if executor is None:
            raise KeyError(attempt.id)
        mask = await self._mask(attempt.id)
        try:
            return await mask.read(partial(executor.logs, attempt.id, stream), offset, limit)
        except KeyError:
            return await asyncio.to_thread(self.archive.logs, attempt.id, stream, offset, limit)

    async def _mask(self, attempt_id: str) -> Mask:
        """What is masked in the output of an attempt; nothing of one that the store does not know."""
        held = self.register.live.get(attempt_id)
        if held is not None and not held.job.spec.secrets:
            return NOTHING

        def find() -> Mask:
            try:
                return self.masks.of(self.store.job(self.store.attempt(attempt_id).job_id).spec)
            except UnknownName:
                return NOTHING

        return await asyncio.to_thread(find)

    async def result(self, attempt: Attempt) -> bytes | None:
        """What a function returned or raised; None while there is nothing."""
        if self.archive.holds(attempt.id):
            return await asyncio.to_thread(self.archive.result, attempt.id)
        executor = self._executor(attempt)
        return await executor.result(attempt.id) if executor else None
