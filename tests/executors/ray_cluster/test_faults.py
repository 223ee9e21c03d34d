"""What dies under a pool, and what the pool says of it: nothing is lost, nothing runs twice, nothing is left over."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio

from broker.model.errors import BrokerError, Misconfigured, NoCapacity, Unreachable
from broker.model.jobs import AttemptState, LaunchRequest
from broker.model.resources import GIB, Resources
from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine.processes import session_members
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster.driving import (
    SMALL,
    Driver,
    alive,
    context,
    gang,
    gone,
    kill_worker_of,
    request,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _cleared(pool: Driver) -> AsyncIterator[None]:
    yield
    await pool.clear()


def processes(*, below: int | None = None, title: bytes = b"") -> list[int]:
    """Processes by a part of their command line, of those that descend from `below`."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue

    def descends(pid: int) -> bool:
        while pid in parents:
            if pid == below:
                return True
            pid = parents[pid]
        return False

    def says(pid: int) -> bool:
        try:
            return title in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    return [pid for pid in parents if (below is None or descends(pid)) and says(pid)]


def ours(pool: Driver, title: bytes) -> list[int]:
    """Processes of the pool's own cluster: their command line names its folder."""
    return [
        pid
        for pid in processes(title=title)
        if str(pool.state_dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def test_attempts_go_on_when_the_broker_s_process_is_gone(pool: Driver) -> None:
    what, during = request("echo on; sleep 2; echo off"), request("sleep 300")
    await pool.executor.launch(what)
    await pool.executor.launch(during)
    await pool.running(what.attempt_id)
    await pool.executor.close(stop=False)
    later = Driver(RayCluster(context(pool.state_dir)), pool.state_dir)
    await later.executor.open()
    try:
        await later.executor.launch(what)
        assert (await later.ended(what.attempt_id)).state is AttemptState.SUCCEEDED
        assert await later.output(what.attempt_id) == b"on\noff\n"
        (unit,) = (await later.executor.capacity()).units
        assert unit.free.cpus == pytest.approx(unit.total.cpus - during.resources.cpus)
        assert (await later.running(during.attempt_id)).unit_ids == (unit.unit_id,)
        assert len((await later.executor.usage(0)).units) == 1
    finally:
        await later.executor.close(stop=False)
        await pool.executor.open()


async def test_a_warm_worker_runs_one_attempt_after_the_other_after_a_restart_too(pool: Driver) -> None:
    """Ray keeps no idle worker for a supervisor whose driver has ended."""
    await pool.clear()  # nothing is under way
    await pool.executor.close(stop=False)
    later = Driver(RayCluster(context(pool.state_dir)), pool.state_dir)
    await later.executor.open()
    try:
        workers = set()
        for _ in range(3):
            await later.run(what := request("echo $PPID"))
            await asyncio.sleep(0.5)  # Ray looks for idle workers five times a second
            workers.add(await later.output(what.attempt_id))
        assert len(workers) == 1
    finally:
        await later.executor.close(stop=False)
        await pool.executor.open()


async def test_a_killed_gateway_is_started_again(pool: Driver) -> None:
    what = request("echo on; sleep 2; echo off")
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    (gateway,) = processes(below=os.getpid(), title=b"executors.ray_cluster.gateway")
    os.kill(gateway, signal.SIGKILL)
    assert (await pool.ended(what.attempt_id)).state is AttemptState.SUCCEEDED
    (other,) = processes(below=os.getpid(), title=b"executors.ray_cluster.gateway")
    assert other != gateway
    assert (await pool.run(request("true"))).state is AttemptState.SUCCEEDED


async def test_a_killed_worker_interrupts_its_attempt_and_leaves_nothing(pool: Driver) -> None:
    what = request("echo $$ $PPID; setsid sleep 300 & echo $!; wait")
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    async with asyncio.timeout(PATIENCE_S):
        while len(pids := (await pool.says(what.attempt_id, b"\n")).split()) < 3:
            await asyncio.sleep(0.05)
    command, worker, child = map(int, pids)
    os.kill(worker, signal.SIGKILL)
    report = await pool.ended(what.attempt_id)
    assert report.state is AttemptState.INTERRUPTED
    assert report.reason
    for pid in (command, child):
        await gone(pid)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/broker-{what.attempt_id}"))
    assert (await pool.run(request("true"))).state is AttemptState.SUCCEEDED


async def _one_after_the_other(pool: Driver) -> tuple[LaunchRequest, LaunchRequest]:
    """Of a full pool a place was taken over by one that has ended, and then by one that runs."""
    half = Resources(cpus=1, memory_bytes=GIB)
    while True:
        running = [request("sleep 300", held=half) for _ in range(2)]
        for what in running:
            await pool.executor.launch(what)
        before, after = (
            replace(request(f"echo $PPID; {run}", held=half), in_line=True) for run in ("true", "sleep 300")
        )
        await asyncio.gather(*(pool.executor.launch(what) for what in (before, after)))
        await pool.executor.cancel(running[0].attempt_id, 0.0)
        first = await pool.ended(before.attempt_id)
        second = await pool.until(after.attempt_id, lambda one: one.state.ended or one.state is AttemptState.RUNNING)
        if AttemptState.REFUSED not in (first.state, second.state):
            return before, after
        await pool.clear()  # on a busy machine they waited for too long, and were given back


async def test_a_killed_worker_interrupts_what_took_over_a_place_in_it_and_not_what_had_it_before(pool: Driver) -> None:
    before, after = await _one_after_the_other(pool)
    assert await pool.says(after.attempt_id, b"\n") == await pool.output(before.attempt_id)
    kill_worker_of(after.attempt_id)
    assert (await pool.ended(after.attempt_id)).state is AttemptState.INTERRUPTED
    assert pool.reports[before.attempt_id].state is AttemptState.SUCCEEDED


async def test_a_killed_supervisor_interrupts_what_ran_and_remembers_what_ended(pool: Driver, tmp_path: Path) -> None:
    done, what = request(f"echo once >> {tmp_path}/runs"), request("echo $$; setsid sleep 300 & echo $!; wait")
    early = request("echo never")
    await pool.run(done)
    await pool.executor.cancel(early.attempt_id)
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    async with asyncio.timeout(PATIENCE_S):
        while len(pids := (await pool.says(what.attempt_id, b"\n")).split()) < 2:
            await asyncio.sleep(0.05)
    (supervisor,) = [pid for pid in _workers_of(pool) if b"Supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(supervisor, signal.SIGKILL)
    report = await pool.ended(what.attempt_id)
    assert report.state is AttemptState.INTERRUPTED
    for pid in map(int, pids):
        await gone(pid)
    await pool.executor.launch(done)
    await pool.executor.launch(early)
    assert (await pool.ended(early.attempt_id)).state is AttemptState.CANCELLED
    assert (await pool.run(request("true"))).state is AttemptState.SUCCEEDED
    assert (tmp_path / "runs").read_text() == "once\n"


def _workers_of(pool: Driver) -> list[int]:
    raylets = ours(pool, b"raylet/raylet")
    return [pid for raylet in raylets for pid in processes(below=raylet, title=b"ray::")]


async def test_nodes_come_and_go_and_a_busy_one_stays(pool: Driver) -> None:
    with pytest.raises(NoCapacity):
        await pool.executor.scale(3)
    await pool.executor.scale(2)
    units = await _units(pool, 2)
    fat = [request("sleep 300", held=Resources(cpus=2)) for _ in units]
    for what in fat:
        await pool.executor.launch(what)
    for what in fat:
        await pool.running(what.attempt_id)
    assert {pool.reports[what.attempt_id].unit_ids for what in fat} == {(unit,) for unit in units}
    await pool.executor.scale(1)
    assert all(pool.reports[what.attempt_id].state is AttemptState.RUNNING for what in fat)
    await pool.clear()
    await pool.executor.scale(1)
    (left,) = await _units(pool, 1)
    usage = await pool.executor.usage(0)
    assert {unit.unit_id for unit in usage.units if unit.ended_ns is None} == {left}
    assert [unit.started_ns <= (unit.ready_ns or 0) for unit in usage.units] == [True] * len(usage.units)


async def _units(pool: Driver, number: int) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            units = [unit.unit_id for unit in (await pool.executor.capacity()).units if unit.ready]
            if len(units) == number:
                return units
            await asyncio.sleep(0.1)


async def test_a_gang_runs_on_each_node_with_its_rank(pool: Driver) -> None:
    await pool.executor.scale(2)
    await _units(pool, 2)
    what = gang("echo rank $BROKER_NODE_RANK of $BROKER_NUM_NODES at $BROKER_MASTER_ADDR", 2)
    report = await pool.run(what)
    assert report.state is AttemptState.SUCCEEDED
    assert len(set(report.unit_ids)) == 2
    said = (await pool.output(what.attempt_id)).decode()
    assert "rank 0 of 2 at 127." in said or "rank 0 of 2 at" in said
    assert "rank 1 of 2" in said
    held = [line.unit_id for line in (await pool.executor.usage(0)).attempts if line.attempt_id == what.attempt_id]
    assert sorted(held) == sorted(report.unit_ids)


async def test_one_rank_s_failure_ends_the_gang(pool: Driver) -> None:
    await pool.executor.scale(2)
    await _units(pool, 2)
    report = await pool.run(gang("[ $BROKER_NODE_RANK = 0 ] && sleep 300; exit 6", 2))
    assert (report.state, report.exit_code) == (AttemptState.FAILED, 6)


async def test_a_dead_node_interrupts_its_attempts_and_is_no_longer_paid(pool: Driver) -> None:
    await pool.executor.scale(2)
    await _units(pool, 2)
    fat = [request("sleep 300", held=Resources(cpus=2)) for _ in range(2)]
    for what in fat:
        await pool.executor.launch(what)
        await pool.running(what.attempt_id)
    newest = max(ours(pool, b"raylet/raylet"), key=lambda pid: os.stat(f"/proc/{pid}").st_ctime_ns)
    killed_ns = time.time_ns()
    os.kill(newest, signal.SIGKILL)
    (left,) = await _units(pool, 1)
    dead = next(what for what in fat if left not in pool.reports[what.attempt_id].unit_ids)
    assert (await pool.ended(dead.attempt_id)).state is AttemptState.INTERRUPTED
    usage = await pool.executor.usage(0)
    (unit,) = pool.reports[dead.attempt_id].unit_ids
    ended = {each.unit_id: each.ended_ns for each in usage.units}
    assert ended[left] is None
    assert killed_ns - 2e9 < (ended[unit] or 0) < killed_ns + 60e9
    lines = [line for line in usage.attempts if line.attempt_id == dead.attempt_id]
    assert [line.ended_ns is not None and line.ended_ns <= (ended[unit] or 0) for line in lines] == [True]
    await pool.clear()
    async with asyncio.timeout(PATIENCE_S):
        await pool.executor.scale(1)
        await pool.executor.scale(2)
        await _units(pool, 2)


async def test_a_dead_head_ends_everything_and_the_next_open_begins_anew(pool: Driver) -> None:
    what = request("echo $$; sleep 300")
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    (command,) = map(int, (await pool.says(what.attempt_id, b"\n")).split())
    before = {unit.unit_id for unit in (await pool.executor.usage(0)).units}
    for pid in ours(pool, b"gcs_server"):
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await pool.executor.launch(request("true"))
            except BrokerError:
                break
            await asyncio.sleep(0.1)
    await _told_without_a_cluster(pool, what.attempt_id)
    await gone(command)
    await pool.reopened()
    assert (await pool.ended(what.attempt_id)).state is AttemptState.INTERRUPTED
    usage = await pool.executor.usage(0)
    assert {unit.unit_id for unit in usage.units if unit.ended_ns is None}.isdisjoint(before)
    assert (await pool.run(request("true"))).state is AttemptState.SUCCEEDED


async def _told_without_a_cluster(pool: Driver, attempt_id: str) -> None:
    """Whoever comes only to end a cluster that is dead starts none, and knows how its attempts ended."""
    async with asyncio.timeout(PATIENCE_S):
        while ours(pool, b"raylet"):  # it ends by itself when its head is gone
            await asyncio.sleep(0.1)
    executor = RayCluster(replace(context(pool.state_dir), begins=False))
    await executor.open()
    (report,) = [each for each in (await executor.poll(0)).reports if each.attempt_id == attempt_id]
    assert report.state is AttemptState.INTERRUPTED
    # Which of the two is heard first, that its node is gone or that the cluster is, is Ray's.
    assert re.search("the Ray cluster was lost, and the attempt with it|its Ray worker or node was lost", report.reason)
    assert b"\n" in (await executor.logs(attempt_id, "stdout")).data
    with pytest.raises(NoCapacity, match="none is started any more"):
        await executor.launch(request("true"))
    await executor.cancel(attempt_id)
    assert not (await executor.capacity()).units
    await executor.close(stop=True)
    usage = await executor.usage(0)
    assert all(unit.ended_ns for unit in usage.units)
    (used,) = [each for each in usage.attempts if each.attempt_id == attempt_id]
    assert used.ended_ns is not None and used.ended_ns <= report.ended_ns
    assert not ours(pool, b"gcs_server")


async def test_close_with_stop_ends_what_it_started_and_nothing_else(
    pool: Driver,
) -> None:
    folder = Path("/tmp") / f"bray-{os.getpid()}"
    other = Driver(RayCluster(context(folder)), folder)
    try:
        await other.executor.open()
        what = request("echo $$; setsid sleep 300 & echo $!; wait")
        await other.executor.launch(what)
        await other.running(what.attempt_id)
        leaders = [node["pid"] for node in json.loads((folder / "cluster.json").read_text())["nodes"]]
        started = {pid for leader in leaders for pid in session_members(leader)}
    finally:
        await other.executor.close(stop=True)
    assert started
    assert not [pid for pid in started if alive(pid)]
    assert (await pool.run(request("true"))).state is AttemptState.SUCCEEDED
    usage = await other.executor.usage(0)
    assert all(unit.ended_ns is not None for unit in usage.units)
    assert all(line.ended_ns is not None for line in usage.attempts)


async def test_nothing_is_answered_without_the_token(pool: Driver) -> None:
    cluster = json.loads((pool.state_dir / "cluster.json").read_text())
    with grpc.insecure_channel(f"127.0.0.2:{cluster['port']}") as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        with pytest.raises(grpc.RpcError) as refused:
            ask(b"", timeout=60)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert ask(b"", timeout=60, metadata=[("authorization", f"Bearer {cluster['token']}")])
    jobs = f"http://127.0.0.1:{cluster['dashboard_port']}/api/jobs/"
    assert httpx.get(jobs, timeout=PATIENCE_S).status_code in (401, 403)
    token = {"Authorization": f"Bearer {cluster['token']}"}
    assert httpx.get(jobs, headers=token, timeout=PATIENCE_S).status_code == 200


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"adress": "local"}, "adress"),
        ({"object_store_bytes": "much"}, "object_store_bytes"),
        ({"address": 5}, "address"),
    ],
)
async def test_wrong_options_are_named(pool: Driver, options: dict, named: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=named):
        RayCluster(context(tmp_path, **options))


async def test_a_cluster_that_is_not_there_is_unreachable(pool: Driver, tmp_path: Path) -> None:
    elsewhere = RayCluster(context(tmp_path, address="127.0.0.1:1"))
    with pytest.raises(Unreachable, match=re.escape("127.0.0.1:1")):
        await elsewhere.open()
    await elsewhere.close(stop=True)


async def test_small_attempts_share_a_node(pool: Driver) -> None:
    whats = [request("sleep 0.2", held=SMALL) for _ in range(5)]
    for what in whats:
        await pool.executor.launch(what)
    for what in whats:
        assert (await pool.ended(what.attempt_id)).state is AttemptState.SUCCEEDED
