"""The running broker over a real store and executors that do what a test says: nothing lost, nothing run twice."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import broker.run.attempts.dispatch as dispatching
from broker.decide import rest, spot
from broker.decide.policy import dispatch as decide
from broker.decide.rules import PlacementRules
from broker.model.errors import NoCapacity, Unreachable
from broker.model.jobs import AttemptState, Cause, JobState, RetryPolicy
from broker.model.offers import Tier
from broker.model.query import SpendFilter
from broker.run.broker import Broker
from tests.decide.placing import offer
from tests.run.world import PATIENCE_S, World, finish

RETRIED = RetryPolicy(on=frozenset(Cause), max_attempts=3, backoff_s=0.01)


async def test_a_job_is_placed_run_archived_and_forgotten(world: World) -> None:
    async with world.running() as broker:
        world.submit(broker)
        await finish(world, "j-a1")
        await world.until(lambda: world.state() is JobState.SUCCEEDED and not world.executors["one"].runs)
        piece = await broker.records.logs(world.store.attempt("j-a1"), "stdout", 0, 100)
    assert piece.data == b"hello\n"
    assert piece.complete
    methods = [method for method, _ in world.executors["one"].calls]
    assert methods.index("logs") < methods.index("forget")
    history = [change.new for change in world.store.changes("j") if change.attempt_id is None]
    assert history in (["starting", "running", "succeeded"], ["starting", "succeeded"])  # the poll may see both at once
    assert "one" in world.store.recorded("j").placements[-1].reason


async def test_where_a_job_runs_is_what_its_pool_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Placement counts with the units that attempts hold, not with those that they might hold."""
    seen: list[tuple[str, ...]] = []

    def watched(queued, states, *rest, **more):  # type: ignore[no-untyped-def]
        seen.extend(attempt.unit_ids for state in states for attempt in state.running)
        return decide(queued, states, *rest, **more)

    monkeypatch.setattr(dispatching, "dispatch", watched)
    async with world.running() as broker:
        world.submit(broker, "first")
        fake = await world.running_attempt("first-a1")
        await fake.move("first-a1", AttemptState.RUNNING)
        await world.until(lambda: world.state("first") is JobState.RUNNING)
        world.submit(broker, "second")
        await world.until(lambda: bool(seen))
    assert seen[-1] == (fake.unit_id,)


async def test_an_error_is_retried_as_often_as_the_job_says(world: World) -> None:
    async with world.running() as broker:
        world.submit(broker, retry=RETRIED)
        for number in (1, 2, 3):
            fake = await world.running_attempt(f"j-a{number}")
            await fake.move(f"j-a{number}", AttemptState.FAILED, exit_code=3)
        await world.until(lambda: world.state().ended)
    assert world.state() is JobState.FAILED
    assert world.store.job("j").exit_code == 3
    assert world.launches() == ["j-a1", "j-a2", "j-a3"]


async def test_what_a_pool_has_no_room_for_goes_elsewhere(two: World) -> None:
    async with two.running() as broker:
        await two.until(lambda: len(two.executors) == 2)
        two.executors["one"].fail_next["launch"] = NoCapacity("full")
        two.submit(broker, retry=RETRIED)
        await finish(two, "j-a2", "two")
        await two.until(lambda: two.state().ended)
    assert two.state() is JobState.SUCCEEDED
    assert [attempt.state for attempt in two.store.recorded("j").attempts] == [
        AttemptState.REFUSED,
        AttemptState.SUCCEEDED,
    ]


async def test_a_job_that_its_only_pool_took_back_is_tried_there_again_as_soon_as_it_was_told(world: World) -> None:
    async with world.running() as broker:
        await world.until(lambda: "one" in world.executors)
        world.executors["one"].fail_next["launch"] = NoCapacity("full")
        world.submit(broker, retry=RETRIED)
        await finish(world, "j-a2")  # within the test's patience: well before the pool's time of being avoided is over
        await world.until(lambda: world.state().ended)
    assert world.state() is JobState.SUCCEEDED
    (told,) = [change.reason for change in world.store.changes("j") if change.new == "queued"]
    assert told == "attempt 1 in one had no room: full; again in 0.01 s, elsewhere if possible"


async def test_a_pool_that_keeps_failing_rests_while_others_work(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_REST_S", 600.0)
    async with two.running() as broker:
        await two.until(lambda: len(two.executors) == 2)
        one, other = two.executors["one"], two.executors["two"]
        for number in range(rest.FAILURES):
            one.fail_next["launch"] = NoCapacity(f"broken {number}")
            two.submit(broker, f"j{number}", retry=RETRIED)
            await finish(two, f"j{number}-a2", "two")
            await two.until(lambda: not other.runs)
        two.submit(broker, "next")
        await finish(two, "next-a1", "two")
        (first,) = two.store.recorded("next").placements
        assert "its last 3 attempts did not get going (broken 2)" in first.refusals[0].message
        over = replace(broker.register.health["one"], rests_until_ns=broker.clock.now_ns())
        broker.register.health["one"] = over
        two.submit(broker, "only", pools_allowed=("one",))
        await finish(two, "only-a1", "one")
        await two.until(lambda: two.state("only").ended)
    assert two.state("only") is JobState.SUCCEEDED


async def test_a_job_that_is_ahead_of_its_deadline_leaves_its_on_demand_node_for_spot(two: World) -> None:
    one, other = two.pools
    two.pools = (
        replace(one, offers=(offer("0.1", tier=Tier.SPOT, gpu="", gpus=0),)),
        replace(other, offers=(offer(),)),
    )
    two.rules = PlacementRules(spot_rule=spot.SpotRule.UNIFORM_PROGRESS)
    async with two.running() as broker:
        await two.until(lambda: len(two.executors) == 2)
        two.executors["one"].fail_next["launch"] = NoCapacity("no spot")
        deadline_ns = broker.clock.now_ns() + 3_600 * 10**9
        many = replace(RETRIED, max_attempts=50)
        two.submit(broker, deadline_ns=deadline_ns, max_duration_s=10.0, checkpoint_every_s=0.1, retry=many)
        sure = await two.running_attempt("j-a2", "two")
        await sure.move("j-a2", AttemptState.RUNNING)
        broker.register.avoid.clear()  # as if the time of avoiding were over
        await two.until(lambda: broker.wake() or ("cancel", "j-a2") in sure.calls)  # type: ignore[func-returns-value]
        await finish(two, "j-a3", "one")
        await two.until(lambda: two.state().ended)
    made = two.store.recorded("j").attempts
    assert [each.state for each in made] == [AttemptState.REFUSED, AttemptState.INTERRUPTED, AttemptState.SUCCEEDED]
    assert made[1].reason == spot.LEAVES
    assert two.state() is JobState.SUCCEEDED


async def test_a_launch_that_may_have_been_lost_is_repeated_under_its_id(world: World) -> None:
    async with world.running() as broker:
        await world.until(lambda: "one" in world.executors)
        world.executors["one"].fail_next["launch"] = Unreachable("no answer")
        world.submit(broker)
        await finish(world, "j-a1")
        await world.until(lambda: world.state().ended)
    assert world.launches() == ["j-a1", "j-a1"]
    assert len(world.store.recorded("j").attempts) == 1


async def test_queued_and_running_jobs_are_cancelled(world: World) -> None:
    async with world.running() as broker:
        world.submit(broker, "runs")
        await world.running_attempt("runs-a1")
        world.submit(broker, "waits")
        await world.running_attempt("waits-a1")
        world.store.request_cancel(["runs", "waits"])
        broker.wake()
        await world.until(lambda: world.state("runs").ended and world.state("waits").ended)
    assert world.state("runs") is world.state("waits") is JobState.CANCELLED


async def test_whoever_tires_of_waiting_for_what_runs_may_still_have_it_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, waiting = world.broker(), asyncio.Event()
    task = asyncio.create_task(broker.run())
    world.submit(broker)
    fake = await world.running_attempt("j-a1")
    await fake.move("j-a1", AttemptState.RUNNING)
    await world.until(lambda: world.state() is JobState.RUNNING)
    monkeypatch.setattr(broker.dispatcher, "stop", waiting.set)
    broker.request_stop(drain=True)
    await waiting.wait()
    broker.request_stop(drain=False)
    await asyncio.wait_for(task, PATIENCE_S)
    assert ("cancel", "j-a1") in fake.calls
    assert world.state() is JobState.CANCELLED


async def test_an_attempt_that_the_pool_forgot_is_interrupted_and_tried_again(world: World) -> None:
    async with world.running() as broker:
        world.submit(broker, retry=RETRIED)
        fake = await world.running_attempt("j-a1")
        await fake.move("j-a1", AttemptState.RUNNING)
        await world.until(lambda: world.state() is JobState.RUNNING)
    del fake.runs["j-a1"]
    async with world.running():
        await finish(world, "j-a2")
        await world.until(lambda: world.state().ended)
    assert [attempt.state for attempt in world.store.recorded("j").attempts] == [
        AttemptState.INTERRUPTED,
        AttemptState.SUCCEEDED,
    ]


async def test_an_attempt_of_a_store_from_a_backup_that_the_pool_is_done_with_is_tried_again(world: World) -> None:
    async with world.running() as broker:
        await world.until(lambda: "one" in world.executors)
        world.executors["one"].fail_next["launch"] = Unreachable("no answer")
        world.submit(broker, retry=RETRIED)
        await world.until(lambda: world.launches() == ["j-a1"])
        copied("broker.db", "backup.db", world.folder)
        await finish(world, "j-a1")
        await world.until(lambda: ("forget", "j-a1") in world.executors["one"].calls)
    copied("backup.db", "broker.db", world.folder)
    async with world.running():
        await finish(world, "j-a2")
        await world.until(lambda: world.state() is JobState.SUCCEEDED)
    assert world.store.recorded("j").attempts[0].state is AttemptState.INTERRUPTED


def copied(one: str, other: str, folder: Path) -> None:
    """Makes one SQLite file what another is."""
    with closing(sqlite3.connect(folder / one)) as source, closing(sqlite3.connect(folder / other)) as target:
        source.backup(target)


@pytest.mark.parametrize("kill_after", ["submitted", "launched", "running", "ended", "retired"])
async def test_a_broker_killed_at_any_moment_goes_on(world: World, kill_after: str) -> None:
    moments = ["submitted", "launched", "running", "ended", "retired"]

    async def live(broker: Broker, until: str) -> None:
        for moment in moments[: moments.index(until) + 1]:
            await reach(broker, moment)

    async def reach(broker: Broker, moment: str) -> None:
        fake = world.executors.get("one")
        if moment == "submitted":
            world.submit(broker)
        elif moment == "launched":
            await world.running_attempt("j-a1")
        elif moment == "running" and fake and "j-a1" in fake.running():
            await fake.move("j-a1", AttemptState.RUNNING)
        elif moment == "ended" and fake and "j-a1" in fake.running():
            await fake.move("j-a1", AttemptState.SUCCEEDED, exit_code=0)
        elif moment == "retired" and fake:
            await world.until(lambda: not fake.runs)

    async with world.running() as broker:
        await live(broker, kill_after)
    async with world.running() as broker:
        for moment in moments[moments.index(kill_after) + 1 :]:
            await reach(broker, moment)
        await world.until(lambda: world.state().ended)
        await world.until(lambda: not world.executors["one"].runs)
        await broker.settle_now()
    recorded = world.store.recorded("j")
    assert recorded.job.state is JobState.SUCCEEDED
    assert [attempt.state for attempt in recorded.attempts] == [AttemptState.SUCCEEDED]
    assert set(world.launches()) == {"j-a1"}
    charges = world.store.charges(pool="one")
    assert len({charge.key for charge in charges}) == len(charges)
    (row,) = world.store.spend(SpendFilter(by=("pool",)))
    assert row.unknown == len(charges)  # the pool has no price: unknown, never zero
