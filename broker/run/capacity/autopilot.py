"""The autopilot: looks at the history now and then, decides about each pool, applies it where it may, and says why.

Clusters get as many nodes as pay, containers of serverless pools are kept as warm as pays; commitments are proposed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import structlog

from broker.model.errors import BrokerError
from broker.model.foresight import LOOK_BACK_S, Decision, NodesDecision, Proposal, WarmDecision
from broker.model.money import NS_PER_S
from broker.model.offers import Offer
from broker.model.pools import Capability, KeepWarm, Pool, PoolKind
from broker.model.runs import Run
from broker.model.times import day_of
from broker.ports import Clock, Scalable, Store, Warmable
from broker.run.capacity.compiling import HERE, Preparation, loaded
from broker.run.capacity.decided import Decided
from broker.run.pools import RunningPool
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.telling.events import Events

log = structlog.get_logger()

QUEUED = 1_000  # jobs at the head of the queue that count as work
PROPOSE_EVERY_S = 86_400.0
FIRST_PROPOSAL_S = 60.0  # after the start: what runs then is more urgent


class Autopilot:
    """Steers the pools that can be steered."""

    def __init__(
        self,
        settings: AutopilotSettings,
        pools: Mapping[str, RunningPool],
        store: Store,
        clock: Clock,
        book: Sequence[Offer] = (),
        events: Events | None = None,
        prepared: Preparation = HERE,
    ) -> None:
        self.settings = settings
        self.decided = Decided(store, events or Events())
        self._pools = pools
        self._store = store
        self._clock = clock
        self.book = book  # commitments that may be proposed
        self._prepared = prepared
        self._fewer: dict[str, int] = {}
        self._other: dict[str, int] = {}

    async def run(self) -> None:
        """Decides again and again about the pools driven here; what fails is said in the log and tried again."""
        await asyncio.to_thread(self.decided.load, self._clock.now_ns())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._steer())
            tasks.create_task(self._propose())

    async def _steer(self) -> None:
        while True:
            await asyncio.sleep(self.settings.every_s)
            await self._prepared.ready()
            for running in self._driven():
                for steer in self._ways(running):
                    await self._tried(steer, running)

    def _driven(self) -> list[RunningPool]:
        return [each for each in self._pools.values() if each.elsewhere is None]

    def _ways(self, running: RunningPool) -> Iterator[Callable[[RunningPool], Awaitable[Decision | None]]]:
        if running.usable and Capability.SCALE in running.pool.capabilities and _is_cluster(running.pool):
            yield self.nodes
        if running.usable and Capability.KEEP_WARM in running.pool.capabilities and not _is_cluster(running.pool):
            yield self.warmth

    async def _propose(self) -> None:
        await asyncio.sleep(FIRST_PROPOSAL_S)
        await self._prepared.ready()
        while True:
            for running in self._driven():
                if _is_cluster(running.pool):
                    await self._tried(self.proposal, running)
            await asyncio.sleep(PROPOSE_EVERY_S)

    async def _tried(self, steer: Callable[[RunningPool], Awaitable[Decision | None]], running: RunningPool) -> None:
        try:
            await steer(running)
        except (BrokerError, OSError) as error:
            log.warning("autopilot could not steer", pool=running.pool.name, error=str(error))
        except Exception:
            log.exception("autopilot failed; the broker goes on without it", pool=running.pool.name)

    async def nodes(self, running: RunningPool) -> NodesDecision | None:
        """Decides how many nodes a cluster has and applies it; None where its price or capacity is not known."""
        await loaded()
        from broker.decide import steering

        now_ns, name = self._clock.now_ns(), running.pool.name
        held = await self._history(running.pool, now_ns, steering.HISTORY_S)
        wished = await asyncio.to_thread(steering.wish, running.pool, self._serverless(), held, now_ns, day_of(now_ns))
        capacity = await running.capacity()
        if wished is None or capacity is None:
            return None
        up = len(capacity.units)
        step = steering.steer(wished, up, self._fewer.get(name, 0))
        self._fewer[name] = step.fewer
        applied = self._applies and step.nodes != up
        executor: object = running.executor
        if applied and isinstance(executor, Scalable):
            await executor.scale(step.nodes)
            after = await running.capacity()
            applied = after is not None and len(after.units) != up
        decision = NodesDecision(at_ns=now_ns, pool=name, up=up, nodes=step.nodes, applied=applied, reason=step.reason)
        await self.decided.keep(decision)
        return decision

    async def warmth(self, running: RunningPool) -> WarmDecision | None:
        """Decides how a pool's containers are kept warm and applies it; None where it does not say how they are now."""
        await loaded()
        from broker.decide.steering import HISTORY_S
        from broker.decide.warm import steering

        now_ns, pool = self._clock.now_ns(), running.pool
        aim = steering.wanted(pool, await asyncio.to_thread(self._store.cold_starts, pool.name))
        capacity = await running.capacity()
        if aim is None or capacity is None or capacity.keep_warm is None:
            return None
        runs = await asyncio.to_thread(self._store.runs, now_ns - round(HISTORY_S * NS_PER_S))
        seen = steering.ran(runs, pool, now_ns)
        before = capacity.keep_warm
        step = await asyncio.to_thread(steering.steer_warm, seen, aim, before, self._other.get(pool.name, 0))
        self._other[pool.name] = step.other
        applied = self._applies and step.setting != before and await self._keep_warm(running, step.setting)
        decision = WarmDecision(
            at_ns=now_ns, pool=pool.name, before=before, after=step.setting, applied=applied, reason=step.reason
        )
        await self.decided.keep(decision)
        return decision

    async def _keep_warm(self, running: RunningPool, setting: KeepWarm) -> bool:
        executor: object = running.executor
        if not isinstance(executor, Warmable):
            return False
        await executor.keep_warm(setting)
        return True

    async def proposal(self, running: RunningPool) -> Proposal | None:
        """The commitment that would pay for a cluster; None where none would, or too little is known."""
        await loaded()
        from broker.decide import proposing

        now_ns = self._clock.now_ns()
        runs = await asyncio.to_thread(self._store.runs, now_ns - round(LOOK_BACK_S * NS_PER_S))
        found = await asyncio.to_thread(
            proposing.propose, running.pool, self._serverless(), runs, self.book, now_ns, day_of(now_ns)
        )
        if found is not None:
            await self.decided.keep(found)
        return found

    @property
    def _applies(self) -> bool:
        return self.settings.mode is Mode.ON

    def _serverless(self) -> list[Pool]:
        return [each.pool for each in self._pools.values() if not _is_cluster(each.pool)]

    async def _history(self, pool: Pool, now_ns: int, history_s: float) -> list[Run]:
        """What ran, and what waits and may run in a pool."""
        from broker.decide.steering import waiting

        runs = await asyncio.to_thread(self._store.runs, now_ns - round(history_s * NS_PER_S))
        queued = await asyncio.to_thread(self._store.placeable, now_ns, QUEUED)
        return [*runs, *waiting(queued, pool)]


def _is_cluster(pool: Pool) -> bool:
    return pool.kind is PoolKind.CLUSTER
