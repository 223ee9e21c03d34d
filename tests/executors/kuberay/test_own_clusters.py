"""RayClusters of attempts: made for one, as large as it asks for, metered with their heads, and gone after it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.model.errors import Misconfigured, NoCapacity
from broker.model.jobs import AttemptState, LaunchRequest
from broker.model.resources import ResourceRequest
from broker.testing.builders import job_spec, launch_request
from broker.testing.executor_contract_pool import check, lines_of
from broker.testing.executor_watch import PATIENCE_S, Watch
from tests.executors.kuberay.driving import UNIT, executor_on, open_pool, own_pool_of
from tests.executors.kuberay.server.service import Cluster
from tests.executors.kuberay.test_restart import killed


def gang(run: str, nodes: int = 2) -> LaunchRequest:
    spec = job_spec(run, runtime="ray", resources=ResourceRequest(num_nodes=nodes))
    return launch_request(spec=spec, resources=UNIT)


async def gone(cluster: Cluster) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await cluster.world.until(lambda: not any(cluster.world.kinds.values()))


async def test_a_ray_program_has_its_nodes_for_itself_and_nothing_is_left_of_them(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with open_pool(cluster, tmp_path / "state", own=True) as watch:
        assert not (await watch.executor.capacity()).units and not cluster.world.kinds["rayclusters"]
        go = tmp_path / "go"
        request = gang(f"echo on; until [ -e {go} ]; do sleep 0.02; done")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        (made,) = cluster.world.kinds["rayclusters"].values()
        assert made["spec"]["workerGroupSpecs"][0]["replicas"] == 2
        go.touch()
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.SUCCEEDED and len(report.unit_ids) == 2
        await gone(cluster)


async def test_its_pods_are_metered_from_kubernetes_own_times_and_its_head_too(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.world.faults.boot_s, cluster.world.faults.pull_s = 1.1, 1.1
    async with open_pool(cluster, tmp_path / "state", own=True) as watch:
        request = gang("true")
        await watch.launch(request)
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: len(cluster.world.kinds["pods"]) >= 3)
            coming = (await watch.executor.capacity()).units
        assert [unit.ready for unit in coming] == [False, False] and all(unit.asked_ns for unit in coming)
        report = await watch.ended(request.attempt_id)
        await gone(cluster)
        usage = await watch.executor.usage(0)
        check(usage)
        workers = [unit for unit in usage.units if not unit.head]
        (head,) = (unit for unit in usage.units if unit.head)
        assert {unit.caused_by for unit in usage.units} == {request.attempt_id}
        assert {unit.unit_id for unit in workers} == set(report.unit_ids)
        assert head.resources.cpus == 2.0 and not lines_of(usage, head.unit_id)
        for unit in usage.units:
            assert unit.asked_ns and unit.ready_ns and unit.ended_ns
            assert unit.started_ns - unit.asked_ns >= 10**9, "a node was waited for, which costs nothing yet"
            assert unit.ready_ns - unit.started_ns >= 10**9, "an image was pulled, which does"


async def test_more_than_the_pool_may_have_is_not_started(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state", own=True, max_units=3) as watch:
        first, second = gang("echo on; sleep 3600"), gang("true")
        await watch.launch(first)
        with pytest.raises(NoCapacity):
            await watch.executor.launch(second)
        await watch.executor.cancel(first.attempt_id)
        await watch.ended(first.attempt_id)
        assert (await watch.run(second)).state is AttemptState.SUCCEEDED


async def test_what_is_cancelled_while_it_runs_tells_its_last_and_takes_its_cluster_along(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with open_pool(cluster, tmp_path / "state", own=True) as watch:
        request = gang("trap 'echo tidied; exit 7' TERM; echo on; while :; do sleep 0.05; done")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(request.attempt_id)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
        assert b"tidied" in await watch.output(request.attempt_id)
        await gone(cluster)


@pytest.mark.parametrize(("grace_s", "kept"), [(30.0, True), (0.2, False)])
async def test_a_cancel_s_own_grace_counts_whatever_the_pool_s_is(
    cluster: Cluster, tmp_path: Path, grace_s: float, kept: bool
) -> None:
    takes_s, options = (1, {"grace_s": 0.2}) if kept else (60, {"grace_s": 300.0})
    async with open_pool(cluster, tmp_path / "state", own=True, options=options) as watch:
        request = gang(f"trap 'sleep {takes_s}; echo kept; exit 0' TERM; echo on; while :; do sleep 0.05; done")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(request.attempt_id, grace_s)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
        assert (b"kept" in await watch.output(request.attempt_id)) is kept
        await gone(cluster)


async def test_a_cluster_ends_with_its_job_though_the_broker_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    cluster.world.faults.ttl_s = 0.2
    pool, folder = own_pool_of(cluster), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    request = gang("echo on; sleep 0.5; echo off")
    await watch.launch(request)
    await watch.says(request.attempt_id, b"on")
    await killed(watch)
    async with asyncio.timeout(PATIENCE_S):
        await cluster.world.until(lambda: not cluster.world.kinds["rayclusters"])
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"on\noff\n"
    await gone(cluster)
    await watch.executor.close(stop=True)


async def test_a_cluster_that_lost_its_job_is_ended(cluster: Cluster, tmp_path: Path) -> None:
    """As by a broker that died between telling an attempt to end and clearing away."""
    pool, folder = own_pool_of(cluster), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    request = gang("echo on; sleep 3600")
    await watch.launch(request)
    await watch.says(request.attempt_id, b"on")
    await killed(watch)
    await cluster.world.delete("rayjobs", request.attempt_id, "Orphan")
    (folder / "journal.jsonl").unlink()
    watch.executor = executor_on(pool, folder)
    await watch.executor.open()
    async with asyncio.timeout(PATIENCE_S):
        await cluster.world.until(lambda: not cluster.world.kinds["rayclusters"])
    await watch.executor.close(stop=True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scaledown_window_s": 60.0}, "say scaledown_window = 0"),
        ({"gpu_models": ("L4", "A100")}, "make a pool for each"),
        ({"options": {"initial_workers": 1}}, "no option 'initial_workers'"),
    ],
)
def test_what_such_a_pool_can_t_be_is_said(cluster: Cluster, tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        executor_on(own_pool_of(cluster, **fields), tmp_path)
