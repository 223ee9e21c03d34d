"""The autopilot on the pools of this machine: the number of Ray nodes and of containers moves, for real."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from broker.decide.expand import expand
from broker.decide.rules import PlacementRules
from broker.decide.warm.steering import FEW  # loads what weighs before anything is waited for
from broker.model.jobs import JobSpec
from broker.model.offers import Offer, Tier
from broker.model.pools import KeepWarm, Pool, PoolKind, WarmLimits
from broker.model.resources import GIB, ResourceRequest, Resources
from broker.run.broker import Broker
from broker.run.build import capabilities
from broker.run.clock import SystemClock
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.settings.secrets import ConfiguredSecrets
from broker.run.store import SqlStore, open_store
from broker.testing.executor_watch import PATIENCE_S

UNIT = Resources(cpus=1.0, memory_bytes=GIB)


def offer(name: str, tier: Tier, usd: str) -> Offer:
    return Offer(
        id=name,
        provider="test",
        product=name,
        sku=name,
        region="",
        tier=tier,
        gpu_model="",
        gpu_count=0,
        cpus=None,
        memory_gib=None,
        usd_per_hour=Decimal(usd),
        valid_from=date(2020, 1, 1),
        source="test",
    )


def pool(name: str, executor: str, kind: PoolKind, usd: str, **more: Any) -> Pool:
    tier = Tier.ON_DEMAND if kind is PoolKind.CLUSTER else Tier.SERVERLESS
    can = capabilities(executor)
    return Pool(
        name=name,
        kind=kind,
        executor=executor,
        unit=UNIT,
        max_units=2 if kind is PoolKind.CLUSTER else FEW,
        offers=(offer(name, tier, usd),),
        capabilities=can,
        **more,
    )


POOLS = (
    pool("ray", "ray", PoolKind.CLUSTER, "0.05"),
    pool(
        "burst",
        "local_serverless",
        PoolKind.SERVERLESS,
        "0.15",
        scaledown_window_s=3_600.0,
        warm=WarmLimits(least_window_s=0.2, most_window_s=5.0),
    ),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because Ray puts sockets below it."""
    made = Path(tempfile.mkdtemp(prefix="bap-"))
    os.chmod(made, 0o700)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def store(folder: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{folder / 'broker.db'}")
    yield opened
    opened.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.05)


def submit(broker: Broker, name: str, run: str, where: tuple[str, ...] = ()) -> None:
    needs = ResourceRequest(cpus=1.0, memory_bytes=GIB // 4)
    spec = JobSpec(name=name, run=run, resources=needs, pools_allowed=where)
    broker.store.add_jobs(expand(spec, name, "ann", broker.clock.now_ns()), "{}", name)
    broker.wake()


@pytest.mark.timeout(2 * PATIENCE_S)
async def test_nodes_and_containers_follow_the_work(folder: Path, store: SqlStore) -> None:
    broker = Broker(
        pools=POOLS,
        store=store,
        clock=SystemClock(),
        secrets=ConfiguredSecrets(prefix="BROKER_SECRET_", file=None),
        state_dir=folder,
        rules=PlacementRules(),
        settle_every_s=0.5,
        autopilot=AutopilotSettings(mode=Mode.ON, every_s=0.5),
    )
    running = asyncio.create_task(broker.run())
    try:
        await broker.ready(lambda _: None)
        for number in range(FEW):
            submit(broker, f"short{number}", "true", ("burst",))
        for number in range(2):
            submit(broker, f"long{number}", "sleep 600", ("ray",))
        decided = broker.autopilot.decided
        await until(lambda: any(each.up == each.nodes == 2 for each in decided.of_nodes()))
        await until(lambda: any(each.applied for each in decided.of_warmth()))
        warm = next(each for each in decided.of_warmth() if each.applied)
        assert warm.before == KeepWarm(scaledown_window_s=3_600.0)
        assert warm.after.scaledown_window_s <= 5.0

        def containers() -> int:
            seen = broker.pools["burst"].last_capacity
            return len(seen.units) if seen is not None else -1

        await until(lambda: containers() == 0)  # the one that was warm for an hour is gone
        store.request_cancel(["long0", "long1"])
        broker.wake()
        await until(lambda: any(each.applied and each.nodes < each.up for each in decided.of_nodes()))
    finally:
        broker.request_stop(drain=False)
        await running
