"""A state folder with its store, executors that do what a test says, and the brokers that use them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from broker.decide.expand import expand
from broker.decide.rules import PlacementRules
from broker.model.jobs import AttemptState, JobSpec, JobState
from broker.model.pools import Capability, Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import Clock, Executor, ExecutorContext, Store
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import open_store
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeExecutor


def a_pool(name: str) -> Pool:
    return Pool(
        name=name,
        kind=PoolKind.CLUSTER,
        executor="fake",
        unit=Resources(cpus=4, memory_bytes=8 * GIB),
        max_units=1,
        capabilities=frozenset(Capability) - {Capability.SCALE},
    )


class World:
    """A state folder, its store, and executors that outlive the brokers that use them."""

    def __init__(self, folder: Path, pools: tuple[str, ...]) -> None:
        self.folder = folder
        self.pools = tuple(a_pool(name) for name in pools)
        self.executors: dict[str, FakeExecutor] = {}
        self.rules = PlacementRules()
        self.store: Store = open_store(f"sqlite:///{folder / 'broker.db'}")

    def executor(self, context: ExecutorContext) -> Executor:
        made = FakeExecutor(context)
        return self.executors.setdefault(context.pool.name, made)

    def broker(self, clock: Clock | None = None) -> Broker:
        return Broker(
            pools=self.pools,
            store=self.store,
            clock=clock or SystemClock(),
            secrets=ConfiguredSecrets(prefix="BROKER_SECRET_", file=None),
            state_dir=self.folder,
            rules=self.rules,
            settle_every_s=0.05,
            build=self.executor,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Broker]:
        """A broker that is killed at the end: it gets no chance to say goodbye."""
        broker = self.broker()
        task = asyncio.create_task(broker.run())
        try:
            yield broker
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def submit(self, broker: Broker, job_id: str = "j", **fields: object) -> None:
        spec = replace(JobSpec(name="job", run="true"), **fields)  # type: ignore[arg-type]
        jobs = expand(spec, job_id, "ann", broker.clock.now_ns())
        self.store.add_jobs(jobs, "{}", job_id)
        broker.wake()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                await asyncio.sleep(0.005)

    def launches(self) -> list[str]:
        return [argument for fake in self.executors.values() for method, argument in fake.calls if method == "launch"]

    def state(self, job_id: str = "j") -> JobState:
        return self.store.job(job_id).state

    async def running_attempt(self, attempt_id: str, pool: str = "one") -> FakeExecutor:
        await self.until(lambda: pool in self.executors and attempt_id in self.executors[pool].runs)
        return self.executors[pool]


async def finish(world: World, attempt_id: str, pool: str = "one") -> None:
    fake = await world.running_attempt(attempt_id, pool)
    await fake.move(attempt_id, AttemptState.RUNNING)
    fake.runs[attempt_id].stdout = b"hello\n"
    await fake.move(attempt_id, AttemptState.SUCCEEDED, exit_code=0)
