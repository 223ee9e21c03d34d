"""What goes wrong at Kubernetes, or on the way there, and what becomes of the attempt."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.model.errors import Misconfigured, NoCapacity, Unreachable
from broker.model.jobs import CHECKPOINT_GRACE_S, AttemptState
from broker.testing.builders import launch_request
from broker.testing.executor_contract_pool import check
from broker.testing.executor_watch import PATIENCE_S, Watch
from tests.executors.kuberay.driving import UNIT, executor_on, open_pool, pool_of
from tests.executors.kuberay.server import schemas
from tests.executors.kuberay.server.service import Cluster


async def ready(watch: Watch, workers: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while sum(unit.ready for unit in (await watch.executor.capacity()).units) != workers:
            await asyncio.sleep(0.02)


def ended_there(cluster: Cluster, attempt_id: str) -> bool:
    status = cluster.world.kinds["rayjobs"].get(attempt_id, {}).get("status", {})
    return status.get("jobDeploymentStatus") in ("Complete", "Failed")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("file", "nowhere"),
        ("token", "have expired"),
        ("permission", 'cannot list resource "rayclusters"'),
        ("making", 'cannot create resource "rayclusters"'),
        ("operator", "is the KubeRay operator installed"),
        ("owner", "is not this broker's"),
        ("option", "no option 'imge'"),
        pytest.param("schema", "tolerations", marks=schemas.needed),
    ],
)
async def test_what_a_person_has_to_mend_is_named(cluster: Cluster, tmp_path: Path, wrong: str, said: str) -> None:
    options: dict[str, Any] = {}
    faults = cluster.world.faults
    if wrong == "file":
        options = {"kubeconfig": str(tmp_path / "nowhere")}
    elif wrong == "token":
        cluster.write_kubeconfig(token="an-old-one")
    elif wrong == "permission":
        faults.forbidden = {("list", "rayclusters")}
    elif wrong == "making":
        faults.forbidden = {("create", "rayclusters")}
    elif wrong == "operator":
        faults.fail("GET", "rayclusters", 404, "the server could not find the requested resource")
    elif wrong == "owner":
        other = executor_on(pool_of(cluster), tmp_path / "other")
        await other.open()
        await other.close(stop=False)
    elif wrong == "option":
        options = {"imge": "x"}
    elif wrong == "schema":
        options = {"tolerations": [{"key": 1}]}
    with pytest.raises(Misconfigured, match=said):
        executor = executor_on(pool_of(cluster, options=options), tmp_path / "state")
        await executor.open()
    assert not [key for key in cluster.world.kinds["secrets"]]


async def test_a_token_that_expires_is_read_anew(cluster: Cluster, tmp_path: Path) -> None:
    """As a helper program writes another into the kubeconfig; the client is told of it by a 401."""
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        cluster.write_kubeconfig(token="the-next")
        cluster.front.token = "the-next"
        cluster.front.cut()
        await cluster.operator.lose(next(name for name in cluster.world.kinds["pods"] if "worker" in name))
        async with asyncio.timeout(PATIENCE_S):
            while not [unit for unit in (await watch.executor.usage(0)).units if unit.ended_ns]:
                await asyncio.sleep(0.02)
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_without_permission_for_a_job_it_goes_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    cluster.world.faults.forbidden = {("create", "rayjobs")}
    async with open_pool(cluster, tmp_path / "state") as watch:
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and 'cannot create resource "rayjobs"' in report.reason
        check(await watch.executor.usage(0))
        assert all(unit.free == unit.total for unit in (await watch.executor.capacity()).units)


async def test_a_quota_that_is_full_is_no_capacity(cluster: Cluster, tmp_path: Path) -> None:
    cluster.world.faults.fail("POST", "rayjobs", 403, "rayjobs is forbidden: exceeded quota: compute")
    async with open_pool(cluster, tmp_path / "state") as watch:
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "exceeded quota" in report.reason


@pytest.mark.parametrize("status", [0, 429, 500, 503])
@pytest.mark.parametrize("kind", ["secrets", "rayjobs"])
async def test_a_server_that_is_away_for_a_while_is_waited_for(
    cluster: Cluster, tmp_path: Path, status: int, kind: str
) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        cluster.world.faults.fail("POST", kind, status, times=2)
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_one_that_stays_away_is_not_waited_for_for_ever(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state", options={"patience_s": 0.5}) as watch:
        await ready(watch, 2)
        cluster.world.faults.fail("POST", "rayjobs", 503, "etcd is away")
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "etcd is away" in report.reason
        assert len(cluster.world.made("rayjobs")) < 6, "with pauses"


async def test_it_waits_as_long_as_it_is_told_to(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        cluster.world.faults.fail("POST", "rayjobs", 429, times=1, retry_after="1")
        began = asyncio.get_running_loop().time()
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
        assert asyncio.get_running_loop().time() - began > 1.0


@pytest.mark.parametrize("status", [0, 504])
async def test_an_answer_that_is_lost_starts_nothing_twice(cluster: Cluster, tmp_path: Path, status: int) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        for kind in ("secrets", "rayjobs"):
            cluster.world.faults.fail("POST", kind, status, times=1, after=True)
        request = launch_request("echo once; sleep 0.5")
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"once\n"
    assert len(cluster.world.made("rayjobs")) == 2 and len(cluster.operator.runs) == 1


async def test_streams_that_break_lose_and_repeat_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        request = launch_request("for i in 1 2 3 4 5 6; do echo $i; echo e$i >&2; sleep 0.2; done")
        await watch.launch(request)
        for text in (b"1\n", b"3\n", b"4\n"):
            await watch.says(request.attempt_id, text)
            cluster.front.cut()
        assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"1\n2\n3\n4\n5\n6\n"
        assert await watch.output(request.attempt_id, "stderr") == b"e1\ne2\ne3\ne4\ne5\ne6\n"


@pytest.mark.parametrize(("run", "state"), [("echo out", "succeeded"), ("echo out; exit 3", "failed")])
async def test_a_log_that_is_read_only_after_the_end_is_whole(
    cluster: Cluster, tmp_path: Path, run: str, state: str
) -> None:
    """A job of an instant, of which KubeRay tells the end before anything of its log."""
    async with open_pool(cluster, tmp_path / "state") as watch:
        cluster.world.faults.fail("GET", "pods/log", 500, "the kubelet is busy")
        request = launch_request(run)
        await watch.launch(request)
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: ended_there(cluster, request.attempt_id))
        await asyncio.sleep(0.2)  # the broker has been told of it
        cluster.world.faults.planned.clear()
        report = await watch.ended(request.attempt_id)
        assert (report.state, report.exit_code) == (state, 0 if state == "succeeded" else 3)
        assert await watch.output(request.attempt_id) == b"out\n"


async def test_changes_that_are_forgotten_are_listed_again(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        request = launch_request("echo on; sleep 1; echo off")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        cluster.front.cut()
        await cluster.operator.lose(next(name for name in cluster.world.kinds["pods"] if "worker" in name))
        cluster.world.forget_changes()
        async with asyncio.timeout(PATIENCE_S):
            while not [unit for unit in (await watch.executor.usage(0)).units if unit.ended_ns]:
                await asyncio.sleep(0.02)
        check(await watch.executor.usage(0))


@pytest.mark.parametrize("begun", [True, False])
async def test_a_worker_that_is_lost_interrupts_what_ran_there(cluster: Cluster, tmp_path: Path, begun: bool) -> None:
    """And nothing else; its room and its meter end with it, and another comes."""
    async with open_pool(cluster, tmp_path / "state") as watch:
        await ready(watch, 2)
        cluster.world.faults.no_submitters = not begun
        first, second = (launch_request("echo on; sleep 3600", resources=UNIT) for _ in range(2))
        for request in (first, second):
            await watch.launch(request)
            if begun:
                await watch.says(request.attempt_id, b"on")
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: len(cluster.world.kinds["rayjobs"]) == 2)
        await watch.poll()
        (unit,) = watch.reports[first.attempt_id].unit_ids
        await cluster.operator.lose(unit.rpartition(".")[0])
        report = await watch.ended(first.attempt_id)
        assert report.state is AttemptState.INTERRUPTED and report.reason
        usage = await watch.executor.usage(0)
        check(usage)
        assert next(one for one in usage.units if one.unit_id == unit).ended_ns is not None
        assert not watch.reports[second.attempt_id].state.ended
        await ready(watch, 2)


async def test_what_does_not_begin_in_time_goes_elsewhere(cluster: Cluster, tmp_path: Path) -> None:
    cluster.world.faults.no_submitters = True
    async with open_pool(cluster, tmp_path / "state", options={"start_within_s": 0.5}) as watch:
        await ready(watch, 2)
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "did not begin within 0.5 s" in report.reason
        assert all(unit.free == unit.total for unit in (await watch.executor.capacity()).units)
    assert not cluster.world.kinds["rayjobs"] and not cluster.operator.runs


async def test_one_that_is_deleted_by_somebody_is_interrupted(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state", options={"grace_s": 0.2}) as watch:
        request = launch_request("echo on; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await cluster.world.delete("rayjobs", request.attempt_id)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.INTERRUPTED


async def test_nothing_is_left_behind(cluster: Cluster, tmp_path: Path) -> None:
    async with open_pool(cluster, tmp_path / "state") as watch:
        requests = [launch_request(run) for run in ("true", "exit 3", "sleep 3600")]
        for request in requests:
            await watch.launch(request)
        await watch.running(requests[2].attempt_id)
        await watch.executor.cancel(requests[2].attempt_id)
        for request in requests:
            await watch.ended(request.attempt_id)
        kinds = cluster.world.kinds
        async with asyncio.timeout(PATIENCE_S):
            await cluster.world.until(lambda: not (kinds["rayjobs"] or kinds["jobs"] or kinds["secrets"]))
        assert len(kinds["pods"]) == 3, "the head and two workers"
    assert not any(cluster.world.kinds.values())


async def test_without_a_node_there_is_no_room(cluster: Cluster, tmp_path: Path) -> None:
    cluster.world.faults.no_nodes = True
    async with open_pool(cluster, tmp_path / "state") as watch:
        with pytest.raises(NoCapacity):
            await watch.executor.launch(launch_request("true"))
        assert not (await watch.executor.usage(0)).units, "a pod without a node costs nothing"


async def test_a_closed_pool_says_so(cluster: Cluster, tmp_path: Path) -> None:
    executor = executor_on(pool_of(cluster), tmp_path / "state")
    with pytest.raises(Unreachable):
        await executor.scale(1)
    with pytest.raises(Unreachable):
        await executor.capacity()


@pytest.mark.parametrize(("keeps", "kept"), [(600.0, True), (None, False)])
async def test_a_job_that_keeps_checkpoints_has_time_for_one(
    cluster: Cluster, tmp_path: Path, keeps: float | None, kept: bool
) -> None:
    """It takes longer than the pool's own grace."""
    async with open_pool(cluster, tmp_path / "state", options={"grace_s": 0.2}) as watch:
        takes_s = 1 if kept else 60
        run = f"trap 'sleep {takes_s}; echo kept; exit 0' TERM; echo on; while :; do sleep 0.05; done"
        request = launch_request(run, checkpoint_every_s=keeps)
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(request.attempt_id, grace_s=CHECKPOINT_GRACE_S)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
        assert (b"kept" in await watch.output(request.attempt_id)) is kept
