"""The autopilot over a real store: it scales what can be scaled, says why, and in a dry run only says."""

import asyncio
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.expand import expand
from broker.model.jobs import Attempt, AttemptState, JobSpec, JobState
from broker.model.offers import Offer, Tier
from broker.model.pools import Capability, Capacity, Pool, PoolKind, UnitState
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext, Store
from broker.run.autopilot import Autopilot
from broker.run.clock import SystemClock
from broker.run.pools import RunningPool
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.store import open_store
from broker.testing.fakes import FakeExecutor

NODE = Resources(cpus=4, memory_bytes=8 * GIB)
POOL = Pool(
    name="cluster",
    kind=PoolKind.CLUSTER,
    executor="fake",
    unit=NODE,
    max_units=4,
    capabilities=frozenset({Capability.SCALE}),
    offers=(
        Offer(
            id="node",
            provider="test",
            product="node",
            sku="node",
            region="",
            tier=Tier.ON_DEMAND,
            gpu_model="",
            gpu_count=0,
            cpus=None,
            memory_gib=None,
            usd_per_hour=Decimal(1),
            valid_from=date(2020, 1, 1),
            source="test",
        ),
    ),
)


class Nodes(FakeExecutor):
    """Has as many nodes as it was last asked for."""

    up = 1

    async def scale(self, units: int) -> None:
        self.up = max(units, 1)

    async def capacity(self) -> Capacity:
        units = tuple(UnitState(unit_id=f"n{number}", total=NODE, free=NODE) for number in range(self.up))
        return Capacity(as_of_ns=0, units=units, max_units=4)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path / 'broker.db'}")


def work(store: Store, number: int) -> None:
    """So many jobs that run, each on a whole node."""
    now = SystemClock().now_ns()
    for n in range(number):
        (job,) = expand(JobSpec(name="job", run="true"), f"j{n}", "ann", now)
        store.add_jobs([job], "{}", f"h{n}")
        attempt = Attempt(id=f"j{n}-a1", job_id=f"j{n}", number=1, pool="cluster", resources=NODE, stored_ns=now)
        store.record(jobs=[replace(job, state=JobState.STARTING, attempts=1)], attempts=[attempt])
    assert len(store.runs(0)) == number


async def pilot(store: Store, folder: Path, mode: Mode) -> tuple[Autopilot, RunningPool, Nodes]:
    made: list[Nodes] = []

    def build(context: ExecutorContext) -> Nodes:
        made.append(Nodes(context))
        return made[0]

    clock = SystemClock()
    running = RunningPool(POOL, folder / "cluster", clock, build)
    await running.open()
    settings = AutopilotSettings(mode=mode, every_s=0.01)
    return Autopilot(settings, {"cluster": running}, store, clock, folder), running, made[0]


async def test_nodes_follow_the_work_and_each_decision_is_kept(store: Store, tmp_path: Path) -> None:
    autopilot, _, nodes = await pilot(store, tmp_path, Mode.ON)
    work(store, 3)
    flying = asyncio.create_task(autopilot.run())
    async with asyncio.timeout(60):
        while nodes.up != 3:
            await asyncio.sleep(0.01)
        for attempt in store.open_attempts():
            ended = {"state": AttemptState.SUCCEEDED, "ended_ns": SystemClock().now_ns()}
            store.record(attempts=[replace(attempt, **ended)])
        while not [each for each in autopilot.decisions if each.applied and each.nodes == 0]:
            await asyncio.sleep(0.01)
    flying.cancel()
    lines = [json.loads(line) for line in (tmp_path / "autopilot.jsonl").read_text().splitlines()]
    applied = [(line["up"], line["nodes"]) for line in lines if line["applied"]]
    assert applied == [(1, 3), (3, 0)]
    assert all(line["reason"] for line in lines)
    assert len(autopilot.decisions) == len(lines)


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(store: Store, tmp_path: Path) -> None:
    autopilot, running, nodes = await pilot(store, tmp_path, Mode.DRY_RUN)
    work(store, 2)
    decision = await autopilot.step(running)
    assert decision is not None
    assert (decision.up, decision.nodes, decision.applied) == (1, 2, False)
    assert nodes.up == 1


async def test_a_pool_whose_price_is_not_known_is_left_alone(store: Store, tmp_path: Path) -> None:
    clock = SystemClock()
    running = RunningPool(replace(POOL, offers=()), tmp_path / "cluster", clock, Nodes)
    await running.open()
    autopilot = Autopilot(AutopilotSettings(mode=Mode.ON), {"cluster": running}, store, clock, tmp_path)
    work(store, 2)
    assert await autopilot.step(running) is None
