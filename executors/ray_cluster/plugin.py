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

from broker.model.errors import Misconfigured, NoCapacity, Rejected, Unreachable
from broker.model.jobs import AttemptReport, LaunchRequest
from broker.model.pools import Capability, Capacity, Pool, UnitState
from broker.model.resources import Resources
from broker.model.usage import UsageReport
from broker.ports import ExecutorContext, LogChunk, Poll, Stream
from executors.on_machine.attempt_dir import AttemptDir, result_of, stream_piece
from executors.on_machine.bundle import packed
from executors.on_machine.line import LIMIT
from executors.on_machine.link import CALL_TIMEOUT_S
from executors.on_machine.order import Order, order_of
from executors.on_machine.reporting import attempt_report, attempt_usage, reported
from executors.ray_cluster.autoscaler import Autoscaler
from executors.ray_cluster.launches import Launches
from executors.ray_cluster.link import GatewayLink, answers
from executors.ray_cluster.machine_book import MachineBook
from executors.ray_cluster.node_book import NodeBook
from executors.ray_cluster.options import CLIENT, Options
from executors.ray_cluster.own_nodes import OwnNodes
from executors.ray_cluster.remains import Remains
from executors.ray_cluster.rented_nodes import RentedNodes
from executors.remote.room import Need, Room

NODES_EVERY_S = 1.0
NODES_WITHIN_S = 5.0
SHORTEST_NOTICE_S = 25.0  # Google and Azure give 30 s
LONGEST_NOTICE_S = 600.0
END_EARLY_S = 2.0  # so that its output is carried away before the node is gone


class RayCluster:
    """Runs attempts on a Ray cluster; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.FUNCTIONS,
            Capability.RAY_RUNTIME,
            Capability.GANG,
            Capability.SCALE,
            Capability.VOLUMES,
            Capability.SECRET_FILES,
            Capability.HEAD,
        }
    )

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether Ray is installed."""
        return None if importlib.util.find_spec("ray") else "not installed: pip install 'ray[default]'"

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._pool = context.pool
        self._options = Options.of(context.pool.name, context.pool.options)
        if context.volumes and not Path(context.volumes).is_absolute():
            message = f"volumes must be a folder that all of its nodes share, as /mnt/volumes, not {context.volumes!r}"
            raise Misconfigured(f"pool {context.pool.name}: {message}")
        if context.nodes is None and context.pool.head_offers:
            message = "head_price is of a cluster whose machines the broker makes: leave it out"
            raise Misconfigured(f"pool {context.pool.name}: {message}")
        self._dir = context.state_dir
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._link = GatewayLink(context.pool.name, self._dir / "gateway.log")
        self._launches = Launches(self._link)
        model = context.pool.unit.gpu_model or next(iter(context.pool.gpu_models), "")
        own_book = NodeBook(self._dir / "nodes.json", model, self._options.labels)
        self._book: NodeBook | MachineBook = own_book
        self._room = Room()
        self._rented: RentedNodes | None = None
        if context.nodes is not None:
            unit = replace(context.pool.unit, gpu_model=model)
            self._book = machines = MachineBook(self._dir / "machines.json", unit)
            self._rented = RentedNodes(self._pool, context.nodes, self._link, machines, self._room)
        self._own = OwnNodes(self._pool, self._dir, self._options.object_store_bytes, own_book, self._room)
        self._autoscaler = Autoscaler(self._pool, self._options, self._dir, self._link, self._room)
        self._leaving: set[str] = set()  # nodes that are being taken away, of which the supervisor knows
        self._watching: asyncio.Task[None] | None = None
        self._remains: Remains | None = None  # of a cluster that is gone, where none is to be started
        self._last_usage: UsageReport | None = None

    async def open(self) -> None:
        """Attaches, after starting a cluster of our own where that is wanted and none runs."""
        if self._link.alive or self._remains is not None:
            return
        if not self._context.begins and self._local and await self._own.find(self._now_ns()) is None:
            remains = Remains(self._dir)
            await remains.settle(self._now_ns())
            self._remains = remains
            return
        hello = {"pool": self._pool.name, "carried": not self._local, "send_code": False}
        if self._rented is not None:
            address, environment = await self._rented.endpoint(self._now_ns())
            await answers(self._pool.name, address)
            hello |= {"root": self._root, "address": address, "dashboard": ""}
            hello["send_code"] = not address.startswith(CLIENT)
        elif self._local:
            cluster = await self._own.find_or_start(self._now_ns())
            hello |= {"root": str(self._dir), "address": cluster.address, "dashboard": cluster.dashboard}
            environment = cluster.environment
        else:
            environment = self._options.environment(self._pool.name)
            await answers(self._pool.name, self._options.address)
            hello |= {"root": self._root, "address": self._options.address, "dashboard": self._options.dashboard}
            # A driver that is on no node of the cluster can't bring code along: Ray's server for it does not start.
            hello["send_code"] = not self._options.address.startswith(CLIENT)
        await self._link.connect(hello, environment)
        await self._see_nodes()
        held = await self._link.call("held")
        self._room.load(held, self._book.up())
        self._autoscaler.load(held, self._now_ns())
        self._watching = asyncio.create_task(self._watch_nodes())

    @property
    def _local(self) -> bool:
        """Whether the cluster is one of our own on this machine: then its nodes share files with us."""
        return self._options.local and self._rented is None

    @property
    def _root(self) -> str:
        return str(self._dir) if self._local else f"{self._options.root}/{self._pool.name}"

    @property
    def _supervisor(self) -> GatewayLink | Remains:
        """Who knows of attempts."""
        return self._remains or self._link

    def _now_ns(self) -> int:
        return self._context.clock.now_ns()

    async def _see_nodes(self, within_s: float = CALL_TIMEOUT_S) -> None:
        nodes = await self._link.call("nodes", timeout_s=within_s)
        self._book.see(nodes, self._now_ns(), self._own.started_ns)
        self._room.nodes(self._book.up())
        for node in nodes:
            if node["leaves_ms"] is not None and node["id"] not in self._leaving:
                self._leaving.add(node["id"])
                self._room.shut(node["id"])
                await self._link.call("notice", node["id"], self._grace_s(node["leaves_ms"]))

    def _grace_s(self, leaves_ms: int) -> float:
        """How long what runs on a node that is being taken away has; where nobody said, as long as clouds give."""
        left_s = leaves_ms / 1e3 - self._now_ns() / 1e9 - END_EARLY_S
        return min(max(left_s, 1.0), LONGEST_NOTICE_S) if leaves_ms else SHORTEST_NOTICE_S

    async def _watch_nodes(self) -> None:
        """Notes nodes that come and go, so that they are metered even when nobody asks."""
        while self._link.alive:
            await asyncio.sleep(NODES_EVERY_S)
            if self._own.lost:
                await self._link.close()  # a driver whose head is gone waits a minute for it
                return
            with suppress(Unreachable):  # a head that is about to be found dead does not answer
                await self._see_nodes(NODES_WITHIN_S)
                if self._rented is not None:
                    await self._rented.look_now_and_then(self._now_ns())
                await self._autoscaler.serve(self._now_ns())

    async def close(self, *, stop: bool) -> None:
        """Detaches; with `stop`, ends the attempts, the supervisor, and nodes of our own on this machine.

        Machines at a provider stay: they end themselves when they are idle.
        """
        if self._watching is not None:
            self._watching.cancel()
        if stop and self._link.alive:
            await self._autoscaler.release()
            await self._link.call("stop", timeout_s=30.0)
            self._last_usage = await self._measured(0)
            await self._link.call("dismiss")
        await self._link.close()
        if stop:
            await self._own.end(self._now_ns())

    def _check_volumes(self, request: LaunchRequest) -> None:
        """Raises `Rejected` for a volume whose folder is gone; on a cluster elsewhere its nodes make it."""
        names = request.spec.volumes.values()
        if self._local and (gone := [name for name in names if not Path(self._context.volumes, name).is_dir()]):
            there = f"the folder of the volume {gone[0]} is not in {self._context.volumes}"
            raise Rejected(f"pool {self._pool.name}: {there}")

    async def launch(self, request: LaunchRequest) -> None:
        """Reserves room, then hands the order to the supervisor, which Ray's scheduler obeys."""
        nodes = request.spec.resources.num_nodes
        if nodes > self._pool.max_units:
            raise Rejected(f"pool {self._pool.name} has {self._pool.max_units} nodes at most, not {nodes}")
        self._check_volumes(request)
        if self._remains is not None:
            raise NoCapacity(f"pool {self._pool.name}: its cluster is gone, and none is started any more")
        need = Need.of(request)
        if self._local and not _fits(self._pool, request.resources):
            raise Rejected(f"pool {self._pool.name}: {request.attempt_id} needs more than one of its nodes has")
        order = order_of(request, self._pool, self._context.max_stream_bytes, self._root, self._context.volumes)
        order = replace(order, preload=self._options.preload)
        if not self._local:
            order = await asyncio.to_thread(_with_files, order)
        self._reserve(request.attempt_id, need)
        said = await self._launches.launch(order, self._room.holds(request.attempt_id))
        if said == "no place":
            await self._look()
            awaits = not self._reserve(request.attempt_id, need)
            if awaits and not self._autoscaler.awaits(request.attempt_id, need, self._now_ns()):
                raise NoCapacity(
                    f"pool {self._pool.name} has no room for {request.attempt_id} now{self._unheard(need)}"
                )
            said = await self._launches.launch(order, self._room.holds(request.attempt_id), awaits)
            await self._autoscaler.tell()
        if said == "ended":
            self._room.give_back(request.attempt_id)
            self._autoscaler.drop(request.attempt_id)

    def _reserve(self, attempt_id: str, need: Need) -> bool:
        """Whether there is room for it, which it holds from now on."""
        return bool(self._room.holds(attempt_id) or self._room.take(attempt_id, need))

    def _unheard(self, need: Need) -> str:
        """What no node has at all, as the end of a sentence."""
        known = {name for share in self._book.up().values() for name in share.extra}
        missing = sorted(name for name in need.share.extra if name not in known)
        return f": no node has the custom resource {', '.join(missing)}" if missing else ""

    async def _look(self) -> None:
        """Learns at once what has ended, which the next poll would tell."""
        self._see(await self._link.call("held"))

    def _see(self, reports: list[dict[str, Any]]) -> None:
        """Room is given back by what has ended, and taken over by what waited in line for it."""
        for report in reports:
            if report["ended_ns"] is not None:
                self._room.give_back(report["attempt_id"])
                self._autoscaler.drop(report["attempt_id"])
            elif report["nodes"]:
                self._room.hold(report["attempt_id"], Need.of_report(report).share, report["nodes"])

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """What the supervisor has to report."""
        version, reports = await self._supervisor.call("poll", since, wait_s, timeout_s=wait_s + 30.0)
        self._see(reports)
        return Poll(version=version, reports=tuple(self._report(report) for report in reports))

    def _report(self, report: dict[str, Any]) -> AttemptReport:
        """With the units that are paid, which are not Ray's nodes where machines are rented."""
        said = attempt_report(report)
        return replace(said, unit_ids=tuple(self._book.unit_of(node) for node in said.unit_ids))

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Read from the attempt's folder, which is on this machine or the supervisor's."""
        if self._local:
            return await stream_piece(self._folder(attempt_id), stream, offset, limit)
        chunk: LogChunk | None = await self._link.call("logs", attempt_id, stream, offset, limit)
        if chunk is None:
            raise KeyError(attempt_id)
        return chunk

    async def result(self, attempt_id: str) -> bytes | None:
        """Read from the attempt's folder."""
        if self._local:
            return await result_of(self._folder(attempt_id))
        found: tuple[bytes | None] | None = await self._link.call("result", attempt_id)
        if found is None:
            raise KeyError(attempt_id)
        return found[0]

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(self._dir / "attempts" / attempt_id)

    async def usage(self, since_ns: int) -> UsageReport:
        """Nodes from the book, attempts from the supervisor."""
        if self._last_usage is not None and not self._link.alive:
            return reported(self._now_ns(), self._book.units(since_ns), self._last_usage.attempts)
        return await self._measured(since_ns)

    async def _measured(self, since_ns: int) -> UsageReport:
        as_of = self._now_ns()
        reports = await self._supervisor.call("held")
        units = {unit.unit_id: unit for unit in self._book.units()}
        attempts = tuple(
            usage
            for report in reports
            if (report["released_ns"] or as_of) >= since_ns and report["launched_ns"] <= as_of
            for node in report["nodes"]
            if (unit := self._book.unit_of(node)) in units
            for usage in [attempt_usage(report, unit, units[unit].ended_ns)]
        )
        return reported(as_of, self._book.units(since_ns), attempts)

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks the supervisor."""
        await self._supervisor.call("cancel", attempt_id, grace_s)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops reports and folders."""
        await self._supervisor.call("forget", list(attempt_ids))
        await asyncio.to_thread(_remove, [self._dir / "attempts" / attempt_id for attempt_id in attempt_ids])

    async def capacity(self) -> Capacity:
        """Room on each node, after all that was launched."""
        if self._remains is None and not self._link.alive:
            raise Unreachable(f"pool {self._pool.name}: not attached to Ray")
        units = [
            UnitState(unit_id=self._book.unit_of(name), total=total, free=free)
            for name, (total, free) in self._room.now().items()
        ]
        # Nothing can be placed on a machine that is yet to come up.
        booting = self._book.booting() if isinstance(self._book, MachineBook) else {}
        units += [
            UnitState(unit_id=name, total=self._pool.unit, free=Resources(), ready=False, asked_ns=asked_ns)
            for name, asked_ns in booting.items()
        ]
        most = max(self._pool.max_units, len(units)) if self._options.autoscaled else len(units)
        as_of = self._now_ns()
        return Capacity(as_of_ns=as_of, units=tuple(units), max_units=most, line=LIMIT, note=self._note)

    @property
    def _note(self) -> str:
        """For people: which cluster it is."""
        if self._rented is not None:
            return self._rented.problem or "a Ray cluster of machines that the broker rents"
        return (
            "a Ray cluster of our own on this machine" if self._local else f"the Ray cluster at {self._options.address}"
        )

    async def scale(self, units: int) -> None:
        """Starts nodes here or at a provider, or ends idle ones, newest first; or asks a cluster's autoscaler."""
        if units > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} nodes, not {units}")
        if self._rented is not None:
            await self._rented.scale(units, self._now_ns(), self._see_nodes)
        elif self._local:
            await self._own.scale(units, self._see_nodes)
        elif self._options.autoscaled:
            await self._autoscaler.aim(units)
        else:
            raise NoCapacity(
                f"pool {self._pool.name}: nothing here starts nodes of {self._options.address}; "
                "where it has an autoscaler, say so with the option autoscaled"
            )


def _with_files(order: Order) -> Order:
    """The order with all that it names here; what can't be read fails the attempt, on its node."""
    try:
        return replace(order, carried=True, bundle=packed(order))
    except OSError as error:
        return replace(order, carried=True, no_bundle=str(error))


def _fits(pool: Pool, need: Resources) -> bool:
    model = need.gpu_model if need.gpu_model in pool.gpu_models else pool.unit.gpu_model
    return replace(pool.unit, gpu_model=model).fits(need)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
