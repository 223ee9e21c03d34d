"""A broker that dies: what it had begun is found, once; what it left behind is ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

from broker.model.jobs import AttemptState
from broker.testing.builders import launch_request
from broker.testing.executor_watch import PATIENCE_S, Watch
from tests.executors.kuberay.driving import executor_on, open_pool, pool_of
from tests.executors.kuberay.server.service import Cluster


async def killed(watch: Watch) -> None:
    """As SIGKILL ends a broker: nothing is finished, nothing is tidied."""
    executor = watch.executor
    tasks = [task for _, task in executor._running.values()]  # type: ignore[attr-defined]
    for task in [*tasks, *executor._chores]:  # type: ignore[attr-defined]
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    executor._running.clear()  # type: ignore[attr-defined]
    await executor.close(stop=False)


async def test_one_killed_before_the_answer_finds_what_it_made(cluster: Cluster, tmp_path: Path) -> None:
    pool, folder = pool_of(cluster), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    cluster.world.faults.fail("POST", "rayjobs", 0, after=True)
    request = launch_request("echo on; sleep 1; echo off")
    await watch.launch(request)
    async with asyncio.timeout(PATIENCE_S):
        await cluster.world.until(lambda: request.attempt_id in cluster.world.kinds["rayjobs"])
    await killed(watch)
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    await watch.executor.launch(request)
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"on\noff\n"
    assert len(cluster.operator.runs) == 1
    await watch.executor.close(stop=True)


async def test_whoever_comes_only_to_end_it_makes_no_raycluster_and_ends_one_that_is_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    pool, folder = pool_of(cluster), tmp_path / "state"
    nothing = executor_on(pool, folder, begins=False)
    await nothing.open()
    assert not (await nothing.capacity()).units
    await nothing.close(stop=True)
    assert not cluster.world.made("rayclusters")
    first = executor_on(pool, folder)
    await first.open()
    await first.close(stop=False)
    assert cluster.world.kinds["rayclusters"]
    later = executor_on(pool, folder, begins=False)
    await later.open()
    await later.close(stop=True)
    assert not cluster.world.kinds["rayclusters"]


async def test_one_killed_before_it_could_ask_has_lost_it(cluster: Cluster, tmp_path: Path) -> None:
    pool, folder = pool_of(cluster), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    cluster.world.faults.fail("POST", "rayjobs", 503)
    request = launch_request("echo on")
    await watch.launch(request)
    await killed(watch)
    cluster.world.faults.planned.clear()
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    report = await watch.ended(request.attempt_id)
    assert report.state is AttemptState.INTERRUPTED and "the broker ended" in report.reason
    assert not cluster.operator.runs
    await watch.executor.close(stop=True)


async def test_what_runs_for_no_attempt_is_ended(cluster: Cluster, tmp_path: Path) -> None:
    """Its broker's state is gone; what another broker has in the namespace is left alone."""
    pool, folder = pool_of(cluster), tmp_path / "state"
    async with open_pool(cluster, tmp_path / "other", options={"cluster": "theirs"}) as other:
        theirs, ours = (launch_request("echo on; sleep 3600") for _ in range(2))
        await other.launch(theirs)
        await other.says(theirs.attempt_id, b"on")
        watch = Watch(executor_on(pool, folder))
        await watch.executor.open()
        await watch.launch(ours)
        await watch.says(ours.attempt_id, b"on")
        await killed(watch)
        (folder / "journal.jsonl").unlink()
        again = executor_on(pool, folder)
        await again.open()
        assert set(cluster.world.kinds["rayjobs"]) == {theirs.attempt_id}
        await again.close(stop=True)
        assert set(cluster.world.kinds["rayclusters"]) == {"theirs"}
