"""Nodes of our own whose start nobody lives to see are ended, without Ray: what is started here only waits."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from broker.model.errors import Unreachable
from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine.processes import session_members
from executors.ray_cluster import local_nodes
from tests.executors.ray_cluster.driving import context

WAITS = (sys.executable, "-c", "import time; time.sleep(300)")


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(local_nodes, "START", WAITS)
    yield
    local_nodes.end_begun(tmp_path)


async def starting(state_dir: Path) -> tuple[asyncio.Task[local_nodes.LocalCluster], int]:
    """A head that is being started, and the leader of its session."""
    task = asyncio.create_task(local_nodes.start_head(context(state_dir).pool, state_dir, 100_000_000))
    async with asyncio.timeout(PATIENCE_S):
        while not (found := leaders(state_dir)):
            await asyncio.sleep(0.02)
    return task, found[0]


def leaders(state_dir: Path) -> list[int]:
    begun = state_dir / "begun"
    return [pid for name in begun.read_text().split() for pid in local_nodes._leaders(name)] if begun.exists() else []


async def test_a_start_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    task, pid = await starting(tmp_path)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not session_members(pid)


async def test_what_a_killed_broker_was_starting_is_ended_by_the_next_one(tmp_path: Path) -> None:
    task, pid = await starting(tmp_path)
    await asyncio.to_thread(local_nodes.end_begun, tmp_path)
    assert not session_members(pid)
    assert not (tmp_path / "begun").exists()
    with pytest.raises(Exception, match="Ray did not start"):
        await task


async def test_a_cluster_that_is_remembered_is_left_alone(tmp_path: Path) -> None:
    task, pid = await starting(tmp_path)
    node = local_nodes.LocalNode(pid, local_nodes.start_time(pid) or 0, 0, "node")
    local_nodes.save(tmp_path, local_nodes.LocalCluster(port=1, dashboard_port=2, token="t", nodes=(node,)))
    local_nodes.end_begun(tmp_path)
    assert node.alive
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_each_node_is_shown_gpus_that_no_other_node_has(tmp_path: Path) -> None:
    """Ray gives the first ones that a node sees to its work: two nodes that see all of them would share those."""
    pool = replace(context(tmp_path).pool, emulated=False, devices=(1, 2, 4, 5))
    cluster = local_nodes.LocalCluster(port=1, dashboard_port=2, token="t", nodes=())
    seen = []
    for held in ((), (1, 2)):
        task = asyncio.create_task(local_nodes.start_worker(pool, tmp_path, replace(cluster, nodes=_holding(held)), 1))
        async with asyncio.timeout(PATIENCE_S):
            while not (found := leaders(tmp_path)):
                await asyncio.sleep(0.02)
        seen.append(_variable(found[0], "CUDA_VISIBLE_DEVICES"))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        (tmp_path / "begun").unlink()
    assert seen == ["1,2", "4,5"]


def _holding(devices: tuple[int, ...]) -> tuple[local_nodes.LocalNode, ...]:
    return (local_nodes.LocalNode(0, 0, 0, "head", devices),)


def _variable(pid: int, name: str) -> str | None:
    pairs = (pair.partition("=") for pair in Path(f"/proc/{pid}/environ").read_text().split("\0"))
    return next((value for variable, _, value in pairs if variable == name), None)


async def test_a_node_that_takes_too_long_is_told_from_one_that_ended_with_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "node.log"
    log.write_text("INFO \x1b[37mLocal node IP\x1b[39m: 127.0.0.2\n")
    with subprocess.Popen(["sleep", "600"]) as process:
        monkeypatch.setattr(local_nodes, "START_TIMEOUT_S", 0.0)
        with pytest.raises(Unreachable, match="did not start within 0 s: this machine may be too busy"):
            await local_nodes._started(process, log)
        process.kill()
        process.wait()
        with pytest.raises(Unreachable, match="did not start: INFO Local node IP: 127"):
            await local_nodes._started(process, log)
