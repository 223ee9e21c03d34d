"""The autopilot over a real store: it scales what can be scaled, says why, and in a dry run only says."""

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.expand import expand
from broker.model.foresight import NodesDecision
from broker.model.jobs import Attempt, AttemptState, JobSpec, JobState
from broker.model.money import NS_PER_S
from broker.model.offers import Offer, Tier
from broker.model.pools import Capability, Capacity, KeepWarm, Pool, PoolKind, UnitState
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext, Store
from broker.run.capacity.autopilot import Autopilot
from broker.run.capacity.compiling import Preparation
from broker.run.capacity.decided import Decided
from broker.run.clock import SystemClock
from broker.run.pools import RunningPool
from broker.run.settings.autopilot import AutopilotSettings, Mode
from broker.run.store import open_store
from broker.run.telling.events import Events
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


BURST = Pool(
    name="burst",
    kind=PoolKind.SERVERLESS,
    executor="fake",
    unit=NODE,
    max_units=4,
    cold_start_s=1.0,
    scaledown_window_s=60.0,
    capabilities=frozenset({Capability.KEEP_WARM}),
)


class Containers(FakeExecutor):
    """Keeps them as it was last asked to."""

    kept = KeepWarm(scaledown_window_s=60.0)

    async def keep_warm(self, setting: KeepWarm) -> None:
        self.kept = setting

    async def capacity(self) -> Capacity:
        return Capacity(as_of_ns=0, units=(), max_units=4, keep_warm=self.kept)


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
    autopilot = Autopilot(settings, {"cluster": running}, store, clock, prepared=Preparation(nothing))
    return autopilot, running, made[0]


async def nothing() -> None:
    """What it needs is compiled."""


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
        while not [each for each in autopilot.decided.of_nodes() if each.applied and each.nodes == 0]:
            await asyncio.sleep(0.01)
    flying.cancel()
    kept = [each for each in store.decisions(0, SystemClock().now_ns()) if isinstance(each, NodesDecision)]
    assert [(each.up, each.nodes) for each in kept if each.applied] == [(1, 3), (3, 0)]
    assert all(each.reason for each in kept)
    assert len(kept) <= len(autopilot.decided.last)


def short_jobs(store: Store, number: int) -> None:
    """So many jobs of a second that ran in containers, half a minute apart."""
    now = SystemClock().now_ns()
    for n in range(number):
        (job,) = expand(JobSpec(name="job", run="true"), f"s{n}", "ann", now)
        store.add_jobs([job], "{}", f"hs{n}")
        began = now - (number - n) * 30 * NS_PER_S
        times = {"stored_ns": began, "started_ns": began, "ended_ns": began + NS_PER_S}
        attempt = Attempt(id=f"s{n}-a1", job_id=f"s{n}", number=1, pool="burst", resources=NODE, **times)
        store.record(attempts=[replace(attempt, state=AttemptState.SUCCEEDED)])


@pytest.mark.parametrize("mode", [Mode.ON, Mode.DRY_RUN])
async def test_containers_are_kept_as_warm_as_pays(store: Store, tmp_path: Path, mode: Mode) -> None:
    clock = SystemClock()
    running = RunningPool(BURST, tmp_path / "burst", clock, Containers)
    await running.open()
    autopilot = Autopilot(AutopilotSettings(mode=mode), {"burst": running}, store, clock)
    short_jobs(store, 30)
    first, second = await autopilot.warmth(running), await autopilot.warmth(running)
    assert first is not None and second is not None
    assert (first.after, first.applied) == (KeepWarm(scaledown_window_s=60.0), False)
    assert (second.after, second.applied) == (KeepWarm(scaledown_window_s=2.0), mode is Mode.ON)
    kept = await running.capacity()
    assert kept is not None and kept.keep_warm == (second.after if mode is Mode.ON else second.before)
    assert store.decisions(0, clock.now_ns()) == (first, second)


async def test_without_a_known_start_containers_are_left_alone(store: Store, tmp_path: Path) -> None:
    clock = SystemClock()
    running = RunningPool(replace(BURST, cold_start_s=0.0), tmp_path / "burst", clock, Containers)
    await running.open()
    short_jobs(store, 3)
    autopilot = Autopilot(AutopilotSettings(mode=Mode.ON), {"burst": running}, store, clock)
    assert await autopilot.warmth(running) is None


async def test_what_repeats_itself_is_stored_once_an_hour(store: Store, tmp_path: Path) -> None:
    decided, hour = Decided(store, Events()), 3_600 * NS_PER_S
    made = [
        NodesDecision(at_ns=hour + n, pool="cluster", up=1, nodes=1, applied=False, reason=str(n)) for n in range(5)
    ]
    for each in [*made, replace(made[0], at_ns=made[4].at_ns, nodes=2), replace(made[0], at_ns=3 * hour, nodes=2)]:
        await decided.keep(each)
    assert [(each.at_ns // hour, each.nodes) for each in store.decisions(0, 9 * hour)] == [(1, 1), (1, 2), (3, 2)]
    again = Decided(store, Events())
    again.load(3 * hour + 1)
    await again.keep(replace(made[0], at_ns=3 * hour + 2, nodes=2))
    assert len(store.decisions(0, 9 * hour)) == 3 and len(again.of_nodes()) == 4


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(store: Store, tmp_path: Path) -> None:
    autopilot, running, nodes = await pilot(store, tmp_path, Mode.DRY_RUN)
    work(store, 2)
    decision = await autopilot.nodes(running)
    assert decision is not None
    assert (decision.up, decision.nodes, decision.applied) == (1, 2, False)
    assert nodes.up == 1


async def test_a_pool_whose_price_is_not_known_is_left_alone(store: Store, tmp_path: Path) -> None:
    clock = SystemClock()
    running = RunningPool(replace(POOL, offers=()), tmp_path / "cluster", clock, Nodes)
    await running.open()
    autopilot = Autopilot(AutopilotSettings(mode=Mode.ON), {"cluster": running}, store, clock)
    work(store, 2)
    assert await autopilot.nodes(running) is None
