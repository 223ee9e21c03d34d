"""The executor plugin in the broker's process: the `Executor` port → calls over the link, and nodes of our own."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from broker.model.errors import NoCapacity, Rejected, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Capacity, Pool, UnitState
from broker.model.resources import Resources
from broker.model.usage import UsageReport
from broker.ports import ExecutorContext, LogChunk, Poll, Stream
from executors.on_machine.attempt_dir import AttemptDir, read_result, read_stream
from executors.on_machine.line import LIMIT
from executors.on_machine.link import CALL_TIMEOUT_S
from executors.on_machine.order import order_of
from executors.on_machine.reporting import attempt_report, attempt_usage
from executors.ray_cluster import local_nodes
from executors.ray_cluster.link import GatewayLink, answers
from executors.ray_cluster.node_book import NodeBook
from executors.ray_cluster.options import Options
from executors.ray_cluster.room import Room

NODES_EVERY_S = 1.0
NODES_WITHIN_S = 5.0


class RayCluster:
    """Runs attempts on a Ray cluster; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.FUNCTIONS, Capability.RAY_RUNTIME, Capability.GANG, Capability.SCALE}
    )

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether Ray is installed."""
        return None if importlib.util.find_spec("ray") else "not installed: pip install 'ray[default]'"

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._pool = context.pool
        self._options = Options.of(context.pool.name, context.pool.options)
        self._dir = context.state_dir
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._link = GatewayLink(context.pool.name, self._dir / "gateway.log")
        model = context.pool.unit.gpu_model or next(iter(context.pool.gpu_models), "")
        self._book = NodeBook(self._dir / "nodes.json", model)
        self._cluster: local_nodes.LocalCluster | None = None
        self._room = Room()
        self._scaling = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._last_usage: UsageReport | None = None

    @property
    def _local(self) -> bool:
        return self._options.address == "local"

    async def open(self) -> None:
        """Attaches, after starting a cluster of our own where that is wanted and none runs."""
        if self._link.alive:
            return
        environment: dict[str, str] = {}
        hello = {"pool": self._pool.name, "root": str(self._dir), "address": self._options.address}
        hello["dashboard"] = self._options.dashboard
        if self._local:
            found = local_nodes.load(self._dir)
            self._cluster = found if found and found.alive else await self._new_cluster(found)
            hello |= {"address": self._cluster.address, "dashboard": self._cluster.dashboard}
            environment = self._cluster.environment
        else:
            await answers(self._pool.name, self._options.address)
        await self._link.connect(hello, environment)
        await self._see_nodes()
        self._room.load(await self._link.call("held"), self._book.up())
        self._watching = asyncio.create_task(self._watch_nodes())

    async def _new_cluster(self, dead: local_nodes.LocalCluster | None) -> local_nodes.LocalCluster:
        if dead is not None:
            await asyncio.to_thread(dead.end)
        self._book.end_all(self._context.clock.now_ns())
        cluster = await local_nodes.start_head(self._pool, self._dir, self._options.object_store_bytes)
        local_nodes.save(self._dir, cluster)
        return cluster

    async def _see_nodes(self, within_s: float = CALL_TIMEOUT_S) -> None:
        nodes = await self._link.call("nodes", timeout_s=within_s)
        started = {node.name: node.started_ns for node in self._cluster.nodes} if self._cluster else {}
        self._book.see(nodes, self._context.clock.now_ns(), started)
        self._room.nodes(self._book.up())

    async def _watch_nodes(self) -> None:
        """Notes nodes that come and go, so that they are metered even when nobody asks."""
        while self._link.alive:
            await asyncio.sleep(NODES_EVERY_S)
            if self._cluster is not None and not self._cluster.alive:
                await self._link.close()  # a driver whose head is gone waits a minute for it
                return
            with suppress(Unreachable):  # a head that is about to be found dead does not answer
                await self._see_nodes(NODES_WITHIN_S)

    async def close(self, *, stop: bool) -> None:
        """Detaches; with `stop`, ends the attempts, the supervisor, and nodes of our own."""
        if self._watching is not None:
            self._watching.cancel()
        if stop and self._link.alive:
            await self._link.call("stop", timeout_s=30.0)
            self._last_usage = await self._measured(0)
            await self._link.call("dismiss")
        await self._link.close()
        if stop and self._cluster is not None:
            await asyncio.to_thread(self._cluster.end)
            (self._dir / "cluster.json").unlink(missing_ok=True)
            self._book.end_all(self._context.clock.now_ns())
            self._cluster = None

    async def launch(self, request: LaunchRequest) -> None:
        """Reserves room, then hands the order to the supervisor, which Ray's scheduler obeys."""
        nodes = request.spec.resources.num_nodes
        if nodes > self._pool.max_units:
            raise Rejected(f"pool {self._pool.name} has {self._pool.max_units} nodes at most, not {nodes}")
        if self._local and not _fits(self._pool, request.resources):
            raise Rejected(f"pool {self._pool.name}: {request.attempt_id} needs more than one of its nodes has")
        if request.spec.runtime == "ray" and not (self._cluster or self._options.dashboard):
            raise Rejected(f"pool {self._pool.name}: Ray programs need the option `dashboard`, the cluster's address")
        order = order_of(request, self._pool, self._context.max_stream_bytes, str(self._dir))
        self._reserve(request)
        said = await self._link.call("launch", order, self._room.holds(request.attempt_id))
        if said == "no place":
            await self._look()
            if not self._reserve(request):
                raise NoCapacity(f"pool {self._pool.name} has no room for {request.attempt_id} now")
            said = await self._link.call("launch", order, self._room.holds(request.attempt_id))
        if said == "ended":
            self._room.give_back(request.attempt_id)

    def _reserve(self, request: LaunchRequest) -> bool:
        """Whether there is room for it, which it holds from now on."""
        held = self._room.holds(request.attempt_id)
        return bool(held or self._room.take(request.attempt_id, request.resources, request.spec.resources.num_nodes))

    async def _look(self) -> None:
        """Learns at once what has ended, which the next poll would tell."""
        self._see(await self._link.call("held"))

    def _see(self, reports: list[dict[str, Any]]) -> None:
        """Room is given back by what has ended, and taken over by what waited in line for it."""
        for report in reports:
            if report["ended_ns"] is not None:
                self._room.give_back(report["attempt_id"])
            elif report["nodes"]:
                self._room.hold(report["attempt_id"], Resources(**report["held"]), report["nodes"])

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """What the supervisor has to report."""
        version, reports = await self._link.call("poll", since, wait_s, timeout_s=wait_s + 30.0)
        self._see(reports)
        return Poll(version=version, reports=tuple(attempt_report(report) for report in reports))

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Read from the attempt's folder, which is on this machine."""
        return await asyncio.to_thread(read_stream, self._folder(attempt_id), stream, offset, limit)

    async def result(self, attempt_id: str) -> bytes | None:
        """Read from the attempt's folder."""
        return await asyncio.to_thread(read_result, self._folder(attempt_id))

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(self._dir / "attempts" / attempt_id)

    async def usage(self, since_ns: int) -> UsageReport:
        """Nodes from the book, attempts from the supervisor."""
        if self._last_usage is not None and not self._link.alive:
            return UsageReport(
                as_of_ns=self._context.clock.now_ns(),
                units=self._book.units(since_ns),
                attempts=self._last_usage.attempts,
            )
        return await self._measured(since_ns)

    async def _measured(self, since_ns: int) -> UsageReport:
        as_of = self._context.clock.now_ns()
        reports = await self._link.call("held")
        units = {unit.unit_id: unit for unit in self._book.units()}
        attempts = tuple(
            usage
            for report in reports
            if (report["released_ns"] or as_of) >= since_ns and report["launched_ns"] <= as_of
            for node in report["nodes"]
            if node in units
            for usage in [attempt_usage(report, node, units[node].ended_ns)]
        )
        return UsageReport(as_of_ns=as_of, units=self._book.units(since_ns), attempts=attempts)

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks the supervisor."""
        await self._link.call("cancel", attempt_id, grace_s)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops reports and folders."""
        await self._link.call("forget", list(attempt_ids))
        await asyncio.to_thread(_remove, [self._dir / "attempts" / attempt_id for attempt_id in attempt_ids])

    async def capacity(self) -> Capacity:
        """Room on each node, after all that was launched."""
        if not self._link.alive:
            raise Unreachable(f"pool {self._pool.name}: not attached to Ray")
        units = tuple(
            UnitState(unit_id=name, total=total, free=free) for name, (total, free) in self._room.now().items()
        )
        note = (
            "a Ray cluster of our own on this machine" if self._local else f"the Ray cluster at {self._options.address}"
        )
        return Capacity(as_of_ns=self._context.clock.now_ns(), units=units, max_units=len(units), line=LIMIT, note=note)

    async def scale(self, units: int) -> None:
        """Adds nodes on this machine, or ends idle ones, newest first; the head stays."""
        if self._cluster is None:
            raise NoCapacity(f"pool {self._pool.name}: only a local cluster can be scaled from here")
        if units > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} nodes, not {units}")
        async with self._scaling:
            await self._resize(self._cluster, max(units, 1))

    async def _resize(self, cluster: local_nodes.LocalCluster, units: int) -> None:
        for node in cluster.nodes[1:]:
            if not node.alive:
                await self._drop(node)
        while len((cluster := self._cluster or cluster).nodes) < units:
            node = await local_nodes.start_worker(self._pool, self._dir, cluster, self._options.object_store_bytes)
            self._keep((*cluster.nodes, node))
            await self._see_nodes()
        surplus = len(cluster.nodes) - units
        for node in reversed(cluster.nodes[1:]):
            unit = self._book.named(node.name)
            if surplus > 0 and (unit is None or self._room.close(unit)):
                await self._drop(node)
                surplus -= 1

    async def _drop(self, node: local_nodes.LocalNode) -> None:
        await asyncio.to_thread(node.end)
        if self._cluster is not None:
            self._keep(tuple(each for each in self._cluster.nodes if each is not node))
        while self._book.named(node.name):
            await asyncio.sleep(0.2)
            await self._see_nodes()

    def _keep(self, nodes: tuple[local_nodes.LocalNode, ...]) -> None:
        if self._cluster is not None:
            self._cluster = replace(self._cluster, nodes=nodes)
            local_nodes.save(self._dir, self._cluster)


def _fits(pool: Pool, need: Resources) -> bool:
    model = need.gpu_model if need.gpu_model in pool.gpu_models else pool.unit.gpu_model
    return replace(pool.unit, gpu_model=model).fits(need)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
