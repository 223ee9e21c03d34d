"""The running broker: pools followed, jobs dispatched, usage charged, until it is asked to stop.

It works in sessions. When others have taken it for gone, or when nobody knows whether its last write is in the store,
the session ends as if the process had been killed, and the next one begins with what the store says. So it does when
a part of it fails that the others can't go on without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import structlog

from broker.decide.pool_state import PoolState
from broker.decide.rules import PlacementRules
from broker.model.budgets import Budget
from broker.model.errors import BrokerError, Conflict, LeaseLost, StoreAway, StoreError
from broker.model.jobs import AttemptState, Job, JobSpec
from broker.model.leases import Lease
from broker.model.money import NS_PER_S
from broker.model.offers import Offer
from broker.model.placement import Placement
from broker.model.pools import Pool, PoolKind
from broker.model.submissions import Entry
from broker.ports import Clock, Executor, ExecutorContext, SecretSource, Store
from broker.run.attempts.archive import Archive
from broker.run.attempts.blobs import Blobs
from broker.run.attempts.dispatch import Dispatcher
from broker.run.attempts.lanes import Lanes
from broker.run.attempts.launcher import Launcher
from broker.run.attempts.records import Records
from broker.run.attempts.register import Register
from broker.run.attempts.retire import Retirement
from broker.run.capacity.autopilot import Autopilot
from broker.run.capacity.forecasting import Forecasting
from broker.run.failures import Failures
from broker.run.members.duties import Duties, Telling
from broker.run.members.duty import Duty
from broker.run.members.folders import Folders
from broker.run.members.membership import LEASE_TIMES, Membership
from broker.run.members.orphans import Orphans
from broker.run.members.peers import Peers
from broker.run.members.sharing import Sharing
from broker.run.money.asking_prices import AskingPrices
from broker.run.money.budgets import Budgets
from broker.run.money.ledger import Ledger
from broker.run.money.reprice import PricedPools, Repricing
from broker.run.open_pools import OpenPools
from broker.run.plugins import live_prices, make_executor
from broker.run.pools import RunningPool
from broker.run.rights.admitting import Admission
from broker.run.rights.auditing import Audit
from broker.run.rights.projects import Projects
from broker.run.secrecy.masking import Masks
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.settings.leases import LeaseTimes
from broker.run.settings.price_refresh import PriceRefreshSettings
from broker.run.settings.settings import LogLimits
from broker.run.silence import Silence
from broker.run.telling.events import Events
from broker.run.volumes import Volumes

log = structlog.get_logger()

CANCEL_TIMEOUT_S = 30.0
KEEP_LOGS = LogLimits()
NO_ADMISSION = Admission()
KEEP_AUDIT_S = 400 * 86_400.0
NO_AUTOPILOT = AutopilotSettings()
ASK_NOBODY = PriceRefreshSettings()
EXPIRE_EVERY_S = 3600.0
REJOIN_S = 0.5
SETTLED_WITHIN_S = 3.0  # by another broker, when somebody looks at a cost


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
        audit_kept_s: float = KEEP_AUDIT_S,
        admission: Admission = NO_ADMISSION,
        autopilot: AutopilotSettings = NO_AUTOPILOT,
        book: Sequence[Offer] = (),
        budgets: Sequence[Budget] = (),
        priced: Callable[[], PricedPools] | None = None,
        asking: PriceRefreshSettings = ASK_NOBODY,
        build: Callable[[ExecutorContext], Executor] = make_executor,
        folders: Folders | None = None,
        times: LeaseTimes = LEASE_TIMES,
        drives: bool = True,
    ) -> None:
        """`folders` says what other brokers see; with `drives` false it only answers, as an API worker does."""
        folders = folders or Folders(own=state_dir)
        self.store = store
        self.clock = clock
        self.failures = Failures()
        self.settle_every_s = settle_every_s
        self.logs_kept_s = logs.keep_s
        self.secrets = secrets
        self.masks = Masks(secrets)
        self.volumes = Volumes(folders.volumes)
        self.archive = Archive(folders.archive)
        self.blobs = Blobs(folders.blobs, store, clock, logs.max_blob_bytes)
        self.ledger = Ledger(store, clock)
        self.events = Events()
        self.register = Register(store, clock, self.events, self.masks)
        self.open_pools = OpenPools(folders.own)
        self.pools: dict[str, RunningPool] = {
            pool.name: RunningPool(
                pool,
                folders.of(pool.name),
                clock,
                build,
                logs.max_stream_bytes,
                self.volumes.root(pool.volumes),
                self.open_pools,
            )
            for pool in pools
        }
        self._folders, self._drives = folders, drives
        places = {pool.name: folders.place(pool.name) for pool in pools} if drives else {}
        self.membership = Membership(store, folders.home if drives else "", places, times)
        self.autopilot = Autopilot(autopilot, self.pools, store, clock, book, self.events)
        self.repricing = Repricing(priced, self.pools, self.autopilot) if priced else None
        self.projects = Projects(store, clock, self.wake)
        self.admission = admission
        self.audit = Audit(store, clock, audit_kept_s)
        self.asking: AskingPrices | None = None
        if self.repricing is not None and asking.providers:
            prices = live_prices(asking.providers)
            self.asking = AskingPrices(asking, prices, clock, self.repricing.look, Random())
        self.forecasting = forecasting = Forecasting(self.pools, store, clock)
        tails = [pool.name for pool in pools if pool.kind is PoolKind.SERVERLESS]
        self.budgets = Budgets(budgets, store, clock, self.register, tails, lambda: self.membership.leads)
        self.launcher = Launcher(self.pools, self.register, secrets, self.blobs, lambda: self.membership.sure)
        sharing = Sharing(self.membership, self.pools)
        lanes = Lanes(store, self.projects, self.pools)
        self.dispatcher = Dispatcher(
            self.pools, self.register, self.launcher, rules, forecasting, self.budgets, sharing, lanes, self.failures
        )
        self.peers = Peers(store, self.membership, self.register, lambda *asked: self.records.reply(*asked))
        self.records = Records(self.register, self.archive, self.pools, self.peers, self.masks, self._settle)
        self.duties = Duties(self.membership, self.pools, self._duty, self._seen)
        self.ended = False  # nothing more will happen: who waits for something should stop
        self._stop = asyncio.Event()
        self._stop_pools = False
        self._drain = True
        self._begins = True

    def _duty(self, pool: RunningPool) -> Duty:
        retirement = Retirement(pool, self.archive, self.ledger, self.records.mask)
        return Duty(pool, self.register, self.launcher, retirement, self.ledger, self.settle_every_s)

    def _seen(self, lease: Lease, state: PoolState) -> RunningPool:
        return RunningPool(state.pool, self._folders.of(lease.name), self.clock)

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
        self.peers.tell("work")

    def request_stop(self, *, drain: bool) -> None:
        """Asks for the end of the broker and of all that its pools started: after what runs has ended, or now.

        Raises `Conflict` where this is no broker's process, but one that only answers.
        """
        if not self._drives:
            raise Conflict("this process only answers: `broker down` at a broker ends that one, SIGTERM ends this one")
        self._drain, self._stop_pools = drain, True
        self._stop.set()

    def begin_nothing(self) -> None:
        """From its start it only goes on with what is there, to end it: no job is placed, no node bought."""
        self._begins = False
        for pool in self.pools.values():
            pool.begins = False
        self.dispatcher.stop()

    def detach(self) -> None:
        """Asks for the end of the broker alone: pools and attempts go on and are found again by the next one."""
        self._stop.set()

    async def run(self) -> None:
        """Runs until asked to stop. Raises `Conflict` where another broker has the store, which serves one."""
        try:
            while not self._stop.is_set():
                if await self._joined() and (pause_s := await self._session()):
                    await self._pause(pause_s)
        finally:
            self.ended = True
            self.register.changes.happened()

    async def _joined(self) -> bool:
        """Whether it has a place among the brokers of the store; it tries again while the database is away."""
        try:
            await self.membership.join()
            await self.budgets.load()
            await self.peers.look_at_me()
        except (StoreAway, LeaseLost) as error:
            log.warning("the store can't be used; it is tried again", error=str(error))
            await self._pause(REJOIN_S)
            return False
        return True

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stop.wait()

    async def _session(self) -> float:
        """Works until it is asked to stop, or has to begin anew: after how many seconds."""
        self.register.forget()
        pause_s = 0.0
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in self._work()]
        ends: list[asyncio.Task[Any]] = [
            asyncio.create_task(event.wait()) for event in (self._stop, self.register.in_doubt)
        ]
        try:
            await asyncio.wait([*tasks, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if self._stop.is_set():
                if self._stop_pools:
                    await self._wind_down()
            elif self.register.in_doubt.is_set():
                raise StoreAway("a write may or may not be in the store: all is read anew")
        except (LeaseLost, StoreAway) as error:
            pause_s = self.failures.again("session")
            log.warning("this broker begins anew", error=str(error), again_in_s=pause_s)
        except Exception as error:
            pause_s = self.failures.failed("session", error)
        finally:
            for task in (*tasks, *ends):
                task.cancel()
            await asyncio.gather(*tasks, *ends, return_exceptions=True)
            await self._close()
            with suppress(StoreError):
                await self.membership.leave()
                await self.peers.look_at_me()
        return pause_s

    def _work(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The first two are what it is a broker by: it begins anew where they fail. The others are begun anew alone."""
        yield self.membership.run()
        yield self.duties.run(self.wake)
        for part, work in self._parts():
            yield self.failures.keep_going(part, work)

    def _parts(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        yield "hearing others", self.peers.run
        yield "budgets", self.budgets.run
        if self.repricing is not None:
            yield "prices", self.repricing.run
        if not self._drives:
            return
        if self.asking is not None:
            yield "asking for prices", self.asking.run
        yield "telling others", Telling(self.membership, self.peers, self.dispatcher).run
        yield "orphans", Orphans(self.membership, self.register).run
        yield "dispatching", self._dispatch_when_ready
        yield "old records", self._expire
        yield "audit log", self.audit.run
        yield "forecasting", self.forecasting.run
        if self._begins and self.autopilot.settings.mode is not Mode.OFF:
            yield "autopilot", self.autopilot.run

    async def ready(self, progress: Callable[[str], None]) -> None:
        """Returns when each pool is up, or known not to come up."""

        async def one(name: str) -> None:
            progress(f"pool {name}: starting")
            await self.pools[name].settled.wait()
            progress(f"pool {name}: {self.pools[name].problem or 'ready'}")

        await asyncio.gather(*(one(name) for name in list(self.pools)))

    async def _dispatch_when_ready(self) -> None:
        await self.ready(lambda _: None)
        await self.dispatcher.run()

    async def _expire(self) -> None:
        while True:
            before_ns = self.clock.now_ns() - round(self.logs_kept_s * NS_PER_S)
            try:
                attempts = await asyncio.to_thread(self.archive.expire, before_ns)
                blobs = await asyncio.to_thread(self.blobs.expire, before_ns)
                if attempts or blobs:
                    log.info("logs and arguments kept long enough were dropped", attempts=attempts, blobs=blobs)
            except (OSError, BrokerError) as error:
                log.warning("old logs or arguments could not be dropped", error=str(error))
            await asyncio.sleep(EXPIRE_EVERY_S)

    async def _settle(self, pool: str) -> None:
        """Charges what a pool used, here or at the broker that drives it."""
        if (duty := self.duties.now.get(pool)) is not None:
            await duty.settle()
        elif self.pools[pool].elsewhere is not None:
            with suppress(BrokerError):
                await self.peers.ask(pool, {"what": "settle"}, SETTLED_WITHIN_S)

    async def settle_now(self) -> None:
        """Charges usage up to now, in every pool that answers."""
        await asyncio.gather(*(self._settle(name) for name in list(self.pools)))

    async def _wind_down(self) -> None:
        self.dispatcher.stop()
        silence = Silence(self.pools)
        while self._drain and self._busy():  # whoever tires of waiting may still ask for the end now
            busy, now_ns = self._busy(), self.clock.now_ns()
            if all([silence.lasts(name, now_ns) for name in busy]):
                log.warning("pools do not answer, and are left as they are with what may run there", pools=sorted(busy))
                return
            await self.changed(self.version, 1.0)
        if self._drain:
            return
        for held in self.register.live:
            pool = self.pools.get(held.attempt.pool)
            if pool is not None and (executor := pool.executor) is not None:
                with suppress(BrokerError):
                    await executor.cancel(held.attempt.id)
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                while self._busy():
                    await self.changed(self.version, 1.0)

    def _busy(self) -> set[str]:
        """Pools in which something may run."""
        return {held.attempt.pool for held in self.register.live if held.attempt.state is not AttemptState.STORED}

    def _undrained(self) -> set[str]:
        """Pools in which something may run that was to be waited for; of one that is silent, nobody knows."""
        silent = {name for name, pool in self.pools.items() if not pool.usable}
        return self._busy() | {held.attempt.pool for held in self.register.live if held.attempt.pool in silent}

    async def _close(self) -> None:
        undrained = self._undrained() if self._drain else set()
        for pool in self.pools.values():
            executor, stop = pool.executor, self._stop_pools and pool.pool.name not in undrained
            ends = stop and pool.usable
            try:
                await pool.close(stop=stop)
                if executor is not None and stop:
                    await self.ledger.settle(pool.pool, executor)
                if ends:
                    self.open_pools.discard(pool.pool.name)
            except (BrokerError, OSError) as error:
                log.warning("pool did not close cleanly", pool=pool.pool.name, error=str(error))
            except Exception:
                log.exception("pool did not close cleanly", pool=pool.pool.name)
            if self._stop.is_set():
                pool.settled.set()  # whoever waits for it to open hears that it won't

    async def begin(self, entry: Entry) -> tuple[Job, ...] | None:
        """Stores a job and begins it in one step where that is possible: see `Dispatcher.begin`."""
        return await self.dispatcher.begin(entry) if self._drives else None

    async def preview(self, spec: JobSpec, user: str, *, budgets: bool = True) -> Placement:
        """What would be decided for this job now, within budgets or without them; nothing is stored or started."""
        return await self.dispatcher.preview(spec, user, budgets=budgets)
