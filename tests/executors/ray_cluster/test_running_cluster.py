"""Pools on a running cluster: several nodes, labels, accelerators, a token, node loss, Ray's autoscaler."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from broker.model.errors import Misconfigured, NoCapacity, Unreachable
from broker.model.jobs import AttemptState
from broker.model.resources import GIB, ResourceRequest, Resources
from broker.ports import ExecutorContext
from broker.testing.executor_watch import PATIENCE_S
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster import running
from tests.executors.ray_cluster.driving import SMALL, Driver, call, context, gang, request
from tests.executors.ray_cluster.running import SCALED, RunningCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXED = {"kind": "fixed"}  # label of the nodes that the tests add themselves
GPU = Resources(cpus=1, memory_bytes=GIB // 8, gpus=1, gpu_model="L4")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="bray-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[RunningCluster]:
    made = running.start(folder)
    try:
        yield made
    finally:
        made.end()


def pool_on(cluster: RunningCluster, name: str, **options: object) -> ExecutorContext:
    token = cluster.folder / "token"
    token.touch(mode=0o600)
    token.write_text(cluster.token + "\n")
    given = {"address": cluster.address, "token_file": str(token), "root": f"{cluster.folder}/nodes", **options}
    state_dir = cluster.folder / f"pool-{name}"
    made = context(state_dir, **given)
    return replace(made, pool=replace(made.pool, name=name))


async def _opened(context: ExecutorContext) -> Driver:
    """Tried again once, as a broker does: now and then a client of Ray's is never answered on a busy machine."""
    driver = Driver(RayCluster(context), context.state_dir)
    try:
        await driver.executor.open()
    except Unreachable:
        await driver.executor.open()
    return driver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fixed(cluster: RunningCluster) -> AsyncIterator[Driver]:
    """A pool of the nodes that carry its label: one plain, one with L4s and a custom resource."""
    cluster.add(FIXED)
    cluster.add(FIXED, "--num-gpus=2", '--resources={"accelerator_type:L4": 2, "scratch": 1}')
    cluster.add({"kind": "other"})
    driver = await _opened(pool_on(cluster, "fixed", labels=FIXED))
    yield driver
    await driver.executor.close(stop=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scaled(cluster: RunningCluster) -> AsyncIterator[Driver]:
    """A pool of the nodes that the cluster's autoscaler starts."""
    driver = await _opened(
        pool_on(cluster, "scaled", labels=SCALED, autoscaled=True, node_wait_s=round(2 * PATIENCE_S))
    )
    yield driver
    await driver.executor.close(stop=True)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _cleared(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    yield
    for name in ("fixed", "scaled"):
        if name in request.fixturenames:
            await request.getfixturevalue(name).clear()


async def _units(pool: Driver, number: int, limit_s: float = PATIENCE_S) -> dict[str, Resources]:
    async with asyncio.timeout(limit_s):
        while True:
            units = {unit.unit_id: unit.total for unit in (await pool.executor.capacity()).units}
            if len(units) == number:
                return units
            await asyncio.sleep(0.1)


async def test_a_pool_has_the_nodes_with_its_labels_and_what_ray_says_they_have(fixed: Driver) -> None:
    units = await _units(fixed, 2)
    assert sorted((unit.cpus, unit.gpus, unit.gpu_model) for unit in units.values()) == [(2, 0, ""), (2, 2, "L4")]


async def test_a_job_s_accelerator_picks_the_node_and_its_files_come_along(fixed: Driver, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "here.txt").write_text("in the working copy\n")
    (tmp_path / "data").write_text("mounted\n")
    what = request(
        "cat here.txt sub/data; echo oops >&2; pwd; exit 3",
        held=GPU,
        workdir=str(tmp_path / "code"),
        file_mounts={"sub/data": str(tmp_path / "data")},
    )
    report = await fixed.run(what)
    assert (report.state, report.exit_code) == (AttemptState.FAILED, 3)
    units = await _units(fixed, 2)
    assert [units[unit].gpu_model for unit in report.unit_ids] == ["L4"]
    lines = (await fixed.output(what.attempt_id)).decode().splitlines()
    assert lines[:2] == ["in the working copy", "mounted"]
    assert report.unit_ids[0] in lines[2]  # its folder was the node's own, not the broker's
    assert not Path(lines[2]).exists()
    assert await fixed.output(what.attempt_id, "stderr") == b"oops\n"


async def test_output_appears_while_it_runs_and_a_call_s_result_comes_back(fixed: Driver) -> None:
    what = request("echo on; sleep 300")
    await fixed.executor.launch(what)
    await fixed.says(what.attempt_id, b"on\n")
    await fixed.executor.cancel(what.attempt_id, 0.5)
    assert (await fixed.ended(what.attempt_id)).state is AttemptState.CANCELLED
    called = call(divmod, 7, 2)
    assert (await fixed.run(called)).state is AttemptState.SUCCEEDED
    assert await fixed.executor.result(called.attempt_id)
    await fixed.executor.forget([called.attempt_id])
    with pytest.raises(KeyError):
        await fixed.executor.result(called.attempt_id)


async def test_a_custom_resource_picks_the_node_and_one_that_no_node_has_is_refused(fixed: Driver) -> None:
    held = [request("sleep 300", resources=ResourceRequest(extra={"scratch": 1.0})) for _ in range(2)]
    await fixed.executor.launch(held[0])
    (unit,) = (await fixed.running(held[0].attempt_id)).unit_ids
    assert (await _units(fixed, 2))[unit].gpu_model == "L4"
    with pytest.raises(NoCapacity):
        await fixed.executor.launch(held[1])
    with pytest.raises(NoCapacity, match="no node has the custom resource tpu"):
        await fixed.executor.launch(request("true", resources=ResourceRequest(extra={"tpu": 1.0})))


async def test_a_gang_spans_the_pool_s_nodes(fixed: Driver) -> None:
    what = gang("echo rank $BROKER_NODE_RANK at $BROKER_MASTER_ADDR", 2)
    report = await fixed.run(what)
    assert report.state is AttemptState.SUCCEEDED, report.reason
    assert set(report.unit_ids) == set(await _units(fixed, 2))
    assert {b"rank 0", b"rank 1"} <= {line[:6] for line in (await fixed.output(what.attempt_id)).splitlines()}


async def test_a_ray_program_runs_where_nothing_is_shared(fixed: Driver, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import ray\nray.init()\nprint(ray.get(ray.remote(lambda: 6 * 7).remote()))\n")
    what = request("python program.py", runtime="ray", workdir=str(tmp_path))
    report = await fixed.run(what)
    assert report.state is AttemptState.SUCCEEDED, (await fixed.output(what.attempt_id, "stderr")).decode()
    assert b"42" in await fixed.output(what.attempt_id)


async def test_what_a_lost_node_had_written_stays_readable(cluster: RunningCluster, fixed: Driver) -> None:
    node = cluster.add(FIXED, '--resources={"doomed": 1}')
    await _units(fixed, 3)
    what = request("echo so far; sleep 300", resources=ResourceRequest(extra={"doomed": 1.0}))
    await fixed.executor.launch(what)
    await fixed.says(what.attempt_id, b"so far\n")
    os.killpg(node.pid, signal.SIGKILL)
    node.end()
    report = await fixed.ended(what.attempt_id)
    assert report.state is AttemptState.INTERRUPTED
    assert await fixed.output(what.attempt_id) == b"so far\n"
    await _units(fixed, 2)
    (line,) = [each for each in (await fixed.executor.usage(0)).attempts if each.attempt_id == what.attempt_id]
    assert line.ended_ns


async def test_a_gang_does_not_wait_for_a_node_that_is_lost_before_it_begins(
    cluster: RunningCluster, fixed: Driver
) -> None:
    node = cluster.add(FIXED, '--resources={"scratch": 1}')
    await _units(fixed, 3)
    os.killpg(node.pid, signal.SIGSTOP)  # so that the gang is given the node, and not begun on it
    what = request("sleep 300", resources=ResourceRequest(num_nodes=2, extra={"scratch": 1.0}))
    await fixed.executor.launch(what)
    os.killpg(node.pid, signal.SIGKILL)
    node.end()
    report = await fixed.ended(what.attempt_id)
    assert (report.state, report.started_ns) == (AttemptState.INTERRUPTED, None)
    assert "its Ray node was lost" in report.reason
    await _units(fixed, 2)


async def test_a_node_that_is_being_taken_away_tells_what_runs_there(cluster: RunningCluster, fixed: Driver) -> None:
    node = cluster.add(FIXED, '--resources={"doomed": 1}')
    await _units(fixed, 3)
    script = "trap 'echo saved; exit 0' TERM; echo on; while :; do sleep 0.1; done"
    what = request(script, resources=ResourceRequest(extra={"doomed": 1.0}))
    await fixed.executor.launch(what)
    (unit,) = (await fixed.running(what.attempt_id)).unit_ids
    await fixed.says(what.attempt_id, b"on")
    await asyncio.to_thread(cluster.drain, unit, 300)
    report = await fixed.ended(what.attempt_id)
    assert report.state is AttemptState.INTERRUPTED
    assert "told to end (SIGTERM), and had 2" in report.reason
    assert await fixed.output(what.attempt_id) == b"on\nsaved\n"
    assert unit not in await _units(fixed, 2)
    await asyncio.to_thread(node.end)


async def test_a_node_is_started_for_what_has_no_room_and_ends_when_idle(scaled: Driver) -> None:
    assert (await scaled.executor.capacity()).max_units == 2
    what = request("echo on $(hostname)", held=GPU)
    await scaled.executor.launch(what)
    report = await scaled.ended(what.attempt_id)
    assert (report.state, len(report.unit_ids)) == (AttemptState.SUCCEEDED, 1), report.reason
    usage = await scaled.executor.usage(0)
    assert [line.unit_id for line in usage.attempts if line.attempt_id == what.attempt_id] == list(report.unit_ids)
    await _units(scaled, 0)


async def test_the_plan_s_target_holds_nodes_until_it_is_lowered(scaled: Driver) -> None:
    await scaled.executor.scale(2)
    units = await _units(scaled, 2)
    await scaled.executor.close(stop=False)
    await scaled.executor.open()
    assert await _units(scaled, 2) == units
    with pytest.raises(NoCapacity):
        await scaled.executor.scale(3)
    await scaled.executor.scale(0)
    await _units(scaled, 0)


async def test_what_waits_for_a_node_in_vain_goes_elsewhere(cluster: RunningCluster) -> None:
    never = await _opened(pool_on(cluster, "never", labels={"kind": "never"}, autoscaled=True, node_wait_s=1))
    try:
        what = request("true", held=SMALL)
        report = await never.run(what)
        assert report.state is AttemptState.REFUSED
        assert "no node was started for it within 1 s" in report.reason
    finally:
        await never.executor.close(stop=True)


async def test_from_a_machine_that_is_no_node_of_the_cluster(cluster: RunningCluster, fixed: Driver) -> None:
    away = await _opened(pool_on(cluster, "away", address=cluster.client_address, labels=FIXED))
    try:
        what = request("echo from afar")
        assert (await away.run(what)).state is AttemptState.SUCCEEDED
        assert await away.output(what.attempt_id) == b"from afar\n"
    finally:
        await away.executor.close(stop=True)


async def test_a_wrong_token_is_refused(cluster: RunningCluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 64)
    wrong = RayCluster(pool_on(cluster, "wrong", token_file=str(tmp_path / "token")))
    with pytest.raises(Misconfigured, match="refuses our token"):
        await wrong.open()
    await wrong.close(stop=True)


async def test_a_token_that_is_not_there_is_said_before_anything_is_tried(cluster: RunningCluster) -> None:
    for options, named in (
        ({"token_file": "/nowhere"}, "/nowhere"),
        ({"token_file": "", "token_env": "NO_SUCH_TOKEN"}, "NO_SUCH_TOKEN"),
    ):
        with pytest.raises(Misconfigured, match=named):
            await RayCluster(pool_on(cluster, "none", **options)).open()
