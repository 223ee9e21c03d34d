"""What is known and said of a broker that is gone."""

import asyncio
from pathlib import Path

import pytest

from broker.model.errors import DaemonError, Unreachable
from broker.model.jobs import AttemptState, JobState
from broker.ports import Executor, ExecutorContext
from broker.run.aftermath import aftermath, checked_config
from broker.run.broker import Broker
from broker.run.clock import SystemClock
from broker.run.lifecycle import DaemonFile, only_daemon
from broker.run.open_pools import OpenPools
from broker.run.silence import WAITED_FOR_S
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeExecutor
from tests.run.world import World


def announce(folder: Path, config: str = "") -> None:
    DaemonFile(
        pid=7, address="", token_file="", dashboard="", version="0", started="2026-11-26T14:00:00+00:00", config=config
    ).write(folder)


def test_one_that_left_nothing_is_forgotten_and_one_whose_pools_go_on_is_not(tmp_path: Path) -> None:
    with only_daemon(tmp_path):
        announce(tmp_path)
    assert aftermath(tmp_path).last is None
    with only_daemon(tmp_path):
        announce(tmp_path)
        OpenPools(tmp_path).add("ray")
    left = aftermath(tmp_path)
    assert (left.died, left.pools, DaemonFile.read(tmp_path)) == (False, ("ray",), None)
    assert "ended at" in left.told
    assert "`broker down` ends it" in left.told


def test_one_that_died_is_told_with_when_it_began_and_was_last_alive(tmp_path: Path) -> None:
    (tmp_path / "daemon.lock").touch()
    announce(tmp_path)
    left = aftermath(tmp_path)
    assert left.died
    assert "(process 7, started 2026-11-26 14:00:00 UTC by `broker up`) died, alive until 20" in left.told


def test_pools_are_ended_by_the_configuration_that_they_come_from(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.toml", tmp_path / "other.toml"
    announce(tmp_path, str(mine))
    with pytest.raises(DaemonError, match=r"mine\.toml, is gone"):
        checked_config(aftermath(tmp_path), None)
    assert checked_config(aftermath(tmp_path), other) == other
    mine.touch()
    assert checked_config(aftermath(tmp_path), other) == mine
    announce(tmp_path)
    assert checked_config(aftermath(tmp_path), None) == Path("/dev/null"), "it had none, and gets no other's"
    DaemonFile.path(tmp_path).unlink()
    assert checked_config(aftermath(tmp_path), None) is None


class Fickle(FakeExecutor):
    """Opens unless it is away, and sees what is noted of it meanwhile."""

    away = False
    seen: tuple[str, ...] = ()

    async def open(self) -> None:
        self.seen = aftermath(self.context.state_dir.parents[1]).pools
        if self.away:
            raise Unreachable("it is away")
        await super().open()


@pytest.fixture
def fickle(world: World) -> Fickle:
    """The executor of the world's only pool."""
    made = Fickle(ExecutorContext(pool=world.pools[0], state_dir=world.folder / "pools" / "one", clock=SystemClock()))
    world.executors["one"] = made
    return made


async def wound_down(broker: Broker) -> None:
    broker.begin_nothing()
    running = asyncio.create_task(broker.run())
    await broker.ready(lambda _: None)
    broker.request_stop(drain=False)
    await running


async def test_a_pool_is_open_from_before_it_is_opened_until_all_it_started_has_ended(
    world: World, fickle: Fickle
) -> None:
    async with world.running() as broker:
        await broker.ready(lambda _: None)
    assert (fickle.seen, aftermath(world.folder).pools) == (("one",), ("one",))
    await wound_down(world.broker())
    assert ("close", "True") in fickle.calls
    assert aftermath(world.folder).pools == ()


async def test_one_that_comes_to_end_what_was_left_cancels_and_places_nothing(world: World) -> None:
    broker = world.broker()
    for job_id in ("waits", "one", "other"):
        world.submit(broker, job_id)
    broker.begin_nothing()
    running = asyncio.create_task(broker.run())
    for job_id in ("one", "other"):  # each in a round of its own
        world.store.request_cancel([job_id])
        broker.wake()
        await world.until(lambda job_id=job_id: world.state(job_id) is JobState.CANCELLED)  # type: ignore[misc]
    broker.request_stop(drain=False)
    await running
    assert world.state("waits") is JobState.QUEUED
    assert world.launches() == []


async def test_a_pool_that_does_not_answer_is_not_said_to_have_ended(world: World, fickle: Fickle) -> None:
    async with world.running() as broker:
        await broker.ready(lambda _: None)
    fickle.away = True
    await wound_down(world.broker())
    assert aftermath(world.folder).pools == ("one",)


class Moving:
    """A clock that a test moves on."""

    ahead_s = 0.0

    def now_ns(self) -> int:
        return SystemClock().now_ns() + round(self.ahead_s * 1e9)


async def test_a_drain_waits_for_no_pool_that_does_not_answer_and_leaves_it_alone(world: World, fickle: Fickle) -> None:
    async with world.running() as broker:
        world.submit(broker)
        await (await world.running_attempt("j-a1")).move("j-a1", AttemptState.RUNNING)
        await world.until(lambda: world.state() is JobState.RUNNING)
    fickle.away = True
    clock = Moving()
    broker = world.broker(clock)
    broker.begin_nothing()
    running = asyncio.create_task(broker.run())
    await broker.ready(lambda _: None)
    broker.request_stop(drain=True)
    await world.until(lambda: ("poll", "0") in fickle.calls and not broker.pools["one"].usable)
    assert not running.done()
    async with asyncio.timeout(PATIENCE_S):
        while not running.done():
            clock.ahead_s += WAITED_FOR_S
            broker.wake()
            await asyncio.sleep(0.01)
    await running
    assert aftermath(world.folder).pools == ("one",)
    assert ("close", "True") not in fickle.calls
    assert world.state() is JobState.RUNNING, "it may still do"


async def test_whoever_comes_only_to_end_pools_tells_their_executors(world: World) -> None:
    told = []
    build = world.executor

    def executor(context: ExecutorContext) -> Executor:
        told.append(context.begins)
        return build(context)

    world.executor = executor  # type: ignore[method-assign]
    async with world.running() as broker:
        await broker.ready(lambda _: None)
    await wound_down(world.broker())
    assert told == [True, False]


async def test_a_pool_that_never_opened_left_nothing(world: World, fickle: Fickle) -> None:
    fickle.away = True
    async with world.running() as broker:
        await broker.ready(lambda _: None)
        assert broker.pools["one"].problem == "it is away"
    assert aftermath(world.folder).pools == ()
