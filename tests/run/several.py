"""Several brokers of one process on one PostgreSQL database, over executors that run nothing and count everything."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from broker.decide.expand import expand
from broker.decide.rules import PlacementRules
from broker.model.budgets import Budget
from broker.model.jobs import AttemptState, JobSpec, LaunchRequest
from broker.model.pools import Capability, Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.members.folders import Folders
from broker.run.settings.leases import LeaseTimes
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import SqlStore, open_store
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeExecutor

CPUS = 4  # of each pool: so many jobs at a time


def a_pool(name: str, cpus: int = CPUS, **more: object) -> Pool:
    return Pool(
        name=name,
        kind=PoolKind.CLUSTER,
        executor="fake",
        unit=Resources(cpus=cpus, memory_bytes=2 * cpus * GIB),
        max_units=1,
        capabilities=frozenset(Capability) - {Capability.SCALE},
        **more,  # type: ignore[arg-type]
    )


class Counting(FakeExecutor):
    """Runs each attempt for `run_s`, and notes how often each was launched and how many ran at once."""

    run_s: float | None = 0.02
    most = 0

    async def launch(self, request: LaunchRequest) -> None:
        await super().launch(request)
        self.most = max(self.most, len(self.running()))
        if self.run_s is not None:
            asyncio.get_running_loop().call_later(self.run_s, lambda: asyncio.ensure_future(self.end(request)))

    async def end(self, request: LaunchRequest) -> None:
        if request.attempt_id in self.running():
            await self.move(request.attempt_id, AttemptState.RUNNING)
            await self.move(request.attempt_id, AttemptState.SUCCEEDED, exit_code=0)


@dataclass
class Town:
    """One database, the pools, and brokers that come and go."""

    url: str
    folder: Path
    times: LeaseTimes = field(default_factory=lambda: LeaseTimes(lease_s=1.5, away_s=600.0))
    run_s: float | None = 0.02
    budgets: Sequence[Budget] = ()
    executors: dict[str, Counting] = field(default_factory=dict)
    stores: list[SqlStore] = field(default_factory=list)

    def build(self, context: ExecutorContext) -> Counting:
        made = self.executors.setdefault(context.pool.name, Counting(context))
        made.run_s = self.run_s
        return made

    def store(self) -> SqlStore:
        self.stores.append(open_store(self.url))
        return self.stores[-1]

    def broker(self, name: str, pools: Sequence[Pool], shared: Sequence[str] = (), **more: object) -> Broker:
        return Broker(
            pools=tuple(pools),
            store=self.store(),
            clock=SystemClock(),
            secrets=ConfiguredSecrets(prefix="BROKER_SECRET_", file=None),
            state_dir=self.folder / name,
            rules=PlacementRules(),
            settle_every_s=0.2,
            build=self.build,
            budgets=self.budgets,
            folders=Folders(own=self.folder / name, shared=self.folder / "shared", pools=shared),
            times=self.times,
            **more,  # type: ignore[arg-type]
        )

    @asynccontextmanager
    async def running(self, *brokers: Broker) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for broker in brokers:
                await stack.enter_async_context(_running(broker))
                await broker.ready(lambda _: None)
            yield

    def submit(self, broker: Broker, job_id: str, array: int | None = None, **fields: object) -> None:
        spec = JobSpec(name="job", run="true", array_size=array, **fields)  # type: ignore[arg-type]
        broker.store.add_jobs(expand(spec, job_id, "ann", broker.clock.now_ns()), "{}", job_id)
        broker.wake()

    def launches(self) -> Counter[str]:
        """How often each attempt was launched."""
        return Counter(about for fake in self.executors.values() for method, about in fake.calls if method == "launch")

    def close(self) -> None:
        for store in self.stores:
            store.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _running(broker: Broker) -> AsyncIterator[None]:
    task = asyncio.create_task(broker.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def crash(broker: Broker, task: asyncio.Task[None]) -> None:
    """Its process is gone: it says goodbye to nobody."""

    async def silent() -> None: ...

    broker.membership.leave = silent  # type: ignore[method-assign]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
