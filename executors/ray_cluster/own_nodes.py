"""Nodes of our own: the cluster that a pool starts on this machine, and as many more nodes as are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from broker.model.errors import NoCapacity
from broker.model.pools import Pool
from executors.ray_cluster import local_nodes
from executors.ray_cluster.local_nodes import LocalCluster, LocalNode
from executors.ray_cluster.node_book import NodeBook
from executors.remote.room import Room

See = Callable[[], Awaitable[None]]


class OwnNodes:
    """The head, which stays, and workers, which come and go; `see` brings the node book up to date."""

    def __init__(self, pool: Pool, state_dir: Path, object_store_bytes: int, book: NodeBook, room: Room) -> None:
        self._pool = pool
        self._dir = state_dir
        self._object_store_bytes = object_store_bytes
        self._book = book
        self._room = room
        self._scaling = asyncio.Lock()
        self._cleared = False  # of nodes that an earlier process began to start
        self.cluster: LocalCluster | None = None

    async def find(self, now_ns: int) -> LocalCluster | None:
        """The cluster that an earlier process left, if it runs; else nothing of it is left."""
        if not self._cleared:  # this process ends what it began itself
            await asyncio.to_thread(local_nodes.end_begun, self._dir)
            self._cleared = True
        found = local_nodes.load(self._dir)
        if found is not None and found.alive:
            self.cluster = found
            return found
        if found is not None:
            await asyncio.to_thread(found.end)
            (self._dir / "cluster.json").unlink(missing_ok=True)
        self._book.end_all(now_ns)
        return None

    async def find_or_start(self, now_ns: int) -> LocalCluster:
        """The cluster that an earlier process left, or a new one. Raises `Unreachable` with what Ray said."""
        if (found := await self.find(now_ns)) is not None:
            return found
        self.cluster = await local_nodes.start_head(self._pool, self._dir, self._object_store_bytes)
        local_nodes.save(self._dir, self.cluster)
        return self.cluster

    @property
    def lost(self) -> bool:
        """Whether the head is gone."""
        return self.cluster is not None and not self.cluster.alive

    @property
    def started_ns(self) -> dict[str, int]:
        """When each node was started, by its label."""
        return {node.name: node.started_ns for node in self.cluster.nodes} if self.cluster else {}

    async def end(self, now_ns: int) -> None:
        """Ends all nodes."""
        if self.cluster is not None:
            await asyncio.to_thread(self.cluster.end)
            (self._dir / "cluster.json").unlink(missing_ok=True)
            self._book.end_all(now_ns)
            self.cluster = None

    async def scale(self, units: int, see: See) -> None:
        """Adds nodes, or ends idle ones, newest first; the head stays. Raises `NoCapacity` where nothing runs."""
        async with self._scaling:
            if self.cluster is None:
                raise NoCapacity(f"pool {self._pool.name}: its cluster is not running")
            for node in self.cluster.nodes[1:]:
                if not node.alive:
                    await self._drop(node, see)
            await self._grow(units, see)
            await self._shrink(max(units, 1), see)

    async def _grow(self, units: int, see: See) -> None:
        while self.cluster is not None and len(self.cluster.nodes) < units:
            node = await local_nodes.start_worker(self._pool, self._dir, self.cluster, self._object_store_bytes)
            self._keep((*self.cluster.nodes, node))
            await see()

    async def _shrink(self, units: int, see: See) -> None:
        nodes = self.cluster.nodes if self.cluster else ()
        surplus = len(nodes) - units
        for node in reversed(nodes[1:]):
            unit = self._book.named(node.name)
            if surplus > 0 and (unit is None or self._room.close(unit)):
                await self._drop(node, see)
                surplus -= 1

    async def _drop(self, node: LocalNode, see: See) -> None:
        await asyncio.to_thread(node.end)
        if self.cluster is not None:
            self._keep(tuple(each for each in self.cluster.nodes if each is not node))
        while self._book.named(node.name):
            await asyncio.sleep(0.2)
            await see()

    def _keep(self, nodes: tuple[LocalNode, ...]) -> None:
        if self.cluster is not None:
            self.cluster = replace(self.cluster, nodes=nodes)
            local_nodes.save(self._dir, self.cluster)
