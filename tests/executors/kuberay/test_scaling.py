"""Workers come and go as a plan wants them: those that work are left alone, and all are metered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from broker.model.jobs import AttemptState
from broker.model.resources import ResourceRequest
from broker.ports import Scalable
from broker.testing.builders import job_spec, launch_request
from broker.testing.executor_contract_pool import check, lines_of
from broker.testing.executor_watch import PATIENCE_S, Watch
from tests.executors.kuberay.driving import UNIT, executor_on, open_pool, pool_of
from tests.executors.kuberay.server.service import Cluster


def workers(cluster: Cluster) -> set[str]:
    return {name for name in cluster.world.kinds["pods"] if "-worker-" in name}


async def ready(watch: Watch, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while [unit.ready for unit in (await watch.executor.capacity()).units] != [True] * count:
            await asyncio.sleep(0.02)


async def scale(watch: Watch, units: int) -> None:
    assert isinstance(watch.executor, Scalable)
    await watch.executor.scale(units)


async def test_idle_workers_leave_first_and_busy_ones_when_they_have_ended(cluster: Cluster, tmp_path: Path) -> None:
    """The server ends any worker that is too many and was not named: here that would be a busy one."""
    async with open_pool(cluster, tmp_path / "state", max_units=3, options={"initial_workers": 3}) as watch:
        await ready(watch, 3)
        go = tmp_path / "go"
        run = f"echo on; until [ -e {go} ]; do sleep 0.02; done"
        first, second = (launch_request(run, resources=UNIT) for _ in range(2))
        for request in (first, second):
            await watch.launch(request)
            await watch.says(request.attempt_id, b"on")
        await scale(watch, 0)
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: len(workers(cluster)) == 2)
        assert len((await watch.executor.capacity()).units) == 2
        go.touch()
        for request in (first, second):
            assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: not workers(cluster))
        check(await watch.executor.usage(0))


async def test_more_come_and_their_boot_is_metered(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state", options={"initial_workers": 0}) as watch:
        assert not (await watch.executor.capacity()).units
        cluster.world.faults.boot_s = 0.3
        await scale(watch, 2)
        async with asyncio.timeout(PATIENCE_S):
            while not (coming := (await watch.executor.capacity()).units):
                await asyncio.sleep(0.01)
        assert not any(unit.ready or unit.free.fits(UNIT) for unit in coming)
        assert all(unit.asked_ns and unit.asked_ns <= time.time_ns() for unit in coming)
        await ready(watch, 2)
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
        usage = await watch.executor.usage(0)
        check(usage)
        workers = [unit for unit in usage.units if not unit.head]
        assert [unit.ready_ns is not None and unit.caused_by is None for unit in workers] == [True, True]


async def test_a_patch_that_fails_closes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state", options={"patience_s": 0.3}) as watch:
        await ready(watch, 2)
        cluster.world.faults.fail("PATCH", "rayclusters", 503, times=3)
        with pytest.raises(Exception, match="told to fail"):
            await scale(watch, 0)
        await ready(watch, 2)
        cluster.world.faults.planned.clear()
        await scale(watch, 1)
        await ready(watch, 1)


async def test_a_cluster_that_was_deleted_is_made_again(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        await cluster.world.delete("rayclusters", "broker-vpc")
        await ready(watch, 0)
        await scale(watch, 1)
        await ready(watch, 1)
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
        check(await watch.executor.usage(0))


async def test_a_ray_program_of_several_nodes_holds_them_all_or_none(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        spec = job_spec("echo $RAY_ADDRESS; sleep 0.3", runtime="ray", resources=ResourceRequest(num_nodes=2))
        request = launch_request(spec=spec, resources=UNIT)
        await watch.launch(request)
        assert not any(
            unit.free.fits(launch_request("true").resources) for unit in (await watch.executor.capacity()).units
        )
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.SUCCEEDED and len(report.unit_ids) == 2
        assert (await watch.output(request.attempt_id)).endswith(b":6379\n")
        usage = await watch.executor.usage(0)
        check(usage)
        assert {line.unit_id for line in lines_of(usage, request.attempt_id)} == set(report.unit_ids)


async def test_another_broker_goes_on_with_as_many(cluster: Cluster, tmp_path: Path) -> None:
    """What a plan had asked for is kept in the RayCluster, not begun again with `initial_workers`."""
    pool, folder = pool_of(cluster, options={"initial_workers": 1}), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    await scale(watch, 2)
    await ready(watch, 2)
    await watch.executor.close(stop=False)
    watch.executor = executor_on(pool, folder)
    await watch.executor.open()
    await ready(watch, 2)
    assert sorted(unit.head for unit in (await watch.executor.usage(0)).units) == [False, False, True]
    await watch.executor.close(stop=True)
    assert not any(cluster.world.kinds.values())
    assert all(unit.ended_ns for unit in (await watch.executor.usage(0)).units)
