"""A pool whose machines a node group makes: here each machine is a process tree with one of Ray's nodes."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio

from broker.model.errors import Misconfigured, NoCapacity
from broker.model.jobs import AttemptState
from broker.model.nodes import Node, NodeCluster, NodePart, NodeState
from broker.model.offers import Tier
from broker.testing.executor_watch import PATIENCE_S
from executors.nodes import watchdog
from executors.on_machine.processes import session_members
from executors.ray_cluster import RayCluster
from executors.ray_cluster.node_book import LABEL
from tests.executors.ray_cluster import running
from tests.executors.ray_cluster.driving import SMALL, Driver, context, request
from tests.executors.ray_cluster.running import RunningCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Machines:
    """A provider whose machines are Ray's nodes on this machine; see `broker.node_group.NodeGroup`."""

    provider: ClassVar[str] = "here"
    offered_as: ClassVar[str] = "here/test"

    def __init__(self, cluster: RunningCluster) -> None:
        self._cluster = cluster
        self.nodes: list[Node] = []
        self.room = 9
        self.made = 0

    @classmethod
    def unavailable(cls) -> str | None:
        return None

    def parts(self, nodes: int) -> tuple[NodePart, ...]:
        return ()

    def create(self, nodes: int) -> NodeCluster:
        raise AssertionError("a pool never makes a cluster")

    def find(self) -> NodeCluster | None:
        head = self._node("i-head", head=True)
        return NodeCluster(
            name="test",
            provider=self.provider,
            region="",
            wanted=len(self.nodes),
            head_works=False,
            endpoint=self._cluster.address,
            nodes=(head, *self.nodes),
        )

    def _node(self, node_id: str, *, head: bool = False) -> Node:
        return Node(
            node_id=node_id,
            state=NodeState.RUNNING,
            head=head,
            sku="test",
            tier=Tier.SPOT,
            zone="here",
            address="127.0.0.2",
            started_ns=time.time_ns(),
        )

    def token(self) -> str:
        return self._cluster.token

    def grow(self, nodes: int) -> NodeCluster:
        while sum(node.up for node in self.nodes) < nodes:
            if not self.room:
                raise NoCapacity("the provider has no more")
            self.room -= 1
            self.made += 1
            name = f"i-{self.made}"
            self.nodes.append(self._node(name))
            more = ("--num-gpus=2", '--resources={"accelerator_type:L4": 2}', f"--memory={2 << 30}")
            self._cluster.add({LABEL: name}, *more)
        found = self.find()
        assert found is not None
        return found

    def end(self, node_ids: Sequence[str]) -> None:
        for name in node_ids:
            self.nodes = [replace(each, state=NodeState.ENDED) if each.node_id == name else each for each in self.nodes]
            self._process(name).end()

    def _process(self, name: str) -> running.LocalNode:
        return self._cluster.nodes[int(name.removeprefix("i-"))]

    def delete(self) -> None:
        raise AssertionError("a pool never deletes a cluster")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="brent-"))
    os.chmod(made, 0o700)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def machines(folder: Path) -> Iterator[Machines]:
    cluster = running.start(folder)
    yield Machines(cluster)
    cluster.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(folder: Path, machines: Machines) -> AsyncIterator[Driver]:
    """Attached to a head with nothing beside it."""
    state = folder / "pool"
    driver = Driver(RayCluster(replace(context(state), nodes=machines)), state)
    await driver.executor.open()
    yield driver
    await driver.executor.close(stop=True)


async def ready(pool: Driver, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while sum(unit.ready for unit in (await pool.executor.capacity()).units) != count:
            await asyncio.sleep(0.1)


async def test_a_pool_without_a_cluster_says_how_to_make_one(folder: Path, machines: Machines) -> None:
    class Nothing(Machines):
        def find(self) -> NodeCluster | None:
            return None

    nodes = Nothing(machines._cluster)
    executor = RayCluster(replace(context(folder / "none"), nodes=nodes))
    with pytest.raises(Misconfigured, match="`broker cluster create ray` makes one"):
        await executor.open()


async def test_it_grows_runs_work_and_is_paid_by_machine(pool: Driver, machines: Machines) -> None:
    assert (await pool.executor.capacity()).units == ()
    await pool.executor.scale(1)
    await ready(pool, 1)
    report = await pool.run(request("echo $CUDA_VISIBLE_DEVICES"))
    assert report.state is AttemptState.SUCCEEDED and report.unit_ids == ("i-1",)
    usage = await pool.executor.usage(0)
    assert {unit.unit_id: unit.head for unit in usage.units} == {"i-head": True, "i-1": False}
    unit = next(unit for unit in usage.units if not unit.head)
    assert unit.ready_ns is not None and unit.started_ns < unit.ready_ns and unit.resources.gpus == 2
    assert {each.unit_id for each in usage.attempts} == {"i-1"}
    assert (await pool.executor.capacity()).units[0].unit_id == "i-1"


async def test_more_than_there_is_room_for_is_said_once_and_what_came_stays(pool: Driver, machines: Machines) -> None:
    machines.room = 0
    with pytest.raises(NoCapacity, match="the provider has no more"):
        await pool.executor.scale(2)
        await asyncio.sleep(0.2)
        await pool.executor.scale(2)
    machines.room = 9
    assert [unit.unit_id for unit in (await pool.executor.capacity()).units] == ["i-1"]
    with pytest.raises(NoCapacity, match="at most 2 nodes"):
        await pool.executor.scale(3)


async def test_a_busy_node_is_never_ended_and_an_idle_one_is_drained_first(pool: Driver, machines: Machines) -> None:
    attempt = request("sleep 600")
    await pool.executor.launch(attempt)
    await pool.executor.scale(0)
    assert [unit.unit_id for unit in (await pool.executor.capacity()).units] == ["i-1"]
    await pool.executor.cancel(attempt.attempt_id, 0.5)
    await pool.ended(attempt.attempt_id)
    async with asyncio.timeout(PATIENCE_S):
        while (await pool.executor.capacity()).units:  # Ray gives a worker's place back a moment after its work
            await pool.executor.scale(0)
            await asyncio.sleep(0.5)
    usage = await pool.executor.usage(0)
    assert {unit.unit_id for unit in usage.units if unit.ended_ns is None} == {"i-head"}


async def test_the_watchdog_of_a_node_knows_rays_work_drains_it_and_ends_it(
    pool: Driver, folder: Path, machines: Machines
) -> None:
    """The real processes of a node that Ray runs, by their real names, and Ray's real command."""
    await pool.executor.scale(1)
    await ready(pool, 1)
    name = f"i-{machines.made}"
    attempt = request("sleep 600", held=replace(SMALL, cpus=1))
    await pool.executor.launch(attempt)
    await pool.running(attempt.attempt_id)
    proc = folder / "proc"
    proc.mkdir()
    (proc / "uptime").symlink_to("/proc/uptime")
    for pid in session_members(machines._process(name).pid):
        (proc / str(pid)).symlink_to(f"/proc/{pid}")
    assert watchdog.works(proc)
    settings = {"max_lifetime_s": 1e9, "drain_s": 0, "idle_s": 0.5, "boot_s": 1e9, "lost_s": 1e9, "every_s": 0.2}
    token = [f"{key}={value}" for key, value in machines._cluster.environment.items()]
    drain = ["env", *token, sys.executable, "-m", "ray.scripts.scripts", "drain-node"]
    drain += ["--address", machines._cluster.address]
    end = [sys.executable, "-c", f"open({str(folder / 'ended')!r}, 'x')"]
    fixed = {"proc": str(proc), "notice": "", "metadata": "", "drain": drain, "end": end}
    (folder / "config.json").write_text(json.dumps({**settings, **fixed, "state": str(folder / "state.json")}))
    command = [sys.executable, "-I", watchdog.__file__, str(folder / "config.json")]
    watching = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching.wait(), 2.0)
    await pool.executor.cancel(attempt.attempt_id, 0.0)
    await pool.ended(attempt.attempt_id)
    said, _ = await asyncio.wait_for(watching.communicate(), PATIENCE_S)
    assert (folder / "ended").exists() and said.rstrip().splitlines()[-1].startswith(b"ending: it has been idle")
    machines.end([name])


async def test_a_machine_that_is_taken_away_interrupts_what_it_ran(pool: Driver, machines: Machines) -> None:
    await pool.executor.scale(1)
    await ready(pool, 1)
    attempt = request("sleep 600")
    await pool.executor.launch(attempt)
    await pool.running(attempt.attempt_id)
    machines.end([f"i-{machines.made}"])
    assert (await pool.ended(attempt.attempt_id)).state is AttemptState.INTERRUPTED
    assert pool.executor._rented is not None
    await pool.executor._rented.look(time.time_ns())
    assert (await pool.executor.capacity()).units == ()


async def test_what_is_paid_outlives_the_broker(pool: Driver, folder: Path, machines: Machines) -> None:
    before = (await pool.executor.usage(0)).units
    again = RayCluster(replace(context(folder / "pool"), nodes=machines))
    await again.open()
    assert (await again.usage(0)).units == before
    await again.close(stop=False)
