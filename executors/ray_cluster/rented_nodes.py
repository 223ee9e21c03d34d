"""Rented nodes: the machines of a pool at a provider, as many as are asked for, idle ones drained before they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from broker.model.errors import ExecutorError, Misconfigured, Unreachable
from broker.model.nodes import NodeCluster
from broker.model.pools import Pool
from broker.ports import NodeGroup
from executors.ray_cluster.link import GatewayLink
from executors.ray_cluster.machine_book import MachineBook
from executors.remote.room import Room

LOOK_EVERY_S: Final = 30.0  # at the provider
GROW_WITHIN_S: Final = 5.0  # what takes longer goes on without the caller
See = Callable[[], Awaitable[None]]


class RentedNodes:
    """The machines of one pool; the provider keeps all state, `book` what is paid."""

    def __init__(self, pool: Pool, group: NodeGroup, link: GatewayLink, book: MachineBook, room: Room) -> None:
        self._pool = pool
        self._group = group
        self._link = link
        self._book = book
        self._room = room
        self._scaling = asyncio.Lock()
        self._growing: asyncio.Task[NodeCluster] | None = None
        self._looked_s = 0.0
        self.problem = ""  # why the last machines that were asked for did not come

    async def endpoint(self, now_ns: int) -> tuple[str, dict[str, str]]:
        """Where a driver attaches, and its environment. Raises `Misconfigured` where there is no cluster."""
        cluster = await self.look(now_ns)
        if cluster is None or not cluster.endpoint:
            what = "has no cluster" if cluster is None else "has a cluster without a head"
            name = self._pool.name
            raise Misconfigured(f"pool {name} {what} at its provider: `broker cluster create {name}` makes one")
        token = await asyncio.to_thread(self._group.token)
        return cluster.endpoint, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}

    async def look(self, now_ns: int) -> NodeCluster | None:
        """Brings the book up to date with the provider, and leaves no room on machines that are gone."""
        cluster = await asyncio.to_thread(self._group.find)
        self._book.rented(cluster, now_ns)
        self._room.nodes(self._book.up())
        self._looked_s = asyncio.get_running_loop().time()
        return cluster

    async def look_now_and_then(self, now_ns: int) -> None:
        """The same, when it is time for it."""
        if asyncio.get_running_loop().time() - self._looked_s >= LOOK_EVERY_S:
            await self.look(now_ns)

    async def scale(self, units: int, now_ns: int, see: See) -> None:
        """Starts machines, or drains and ends idle ones, newest first.

        Returns when they have been started, or goes on without the caller where that takes long; what then fails is
        raised by the next call.
        """
        async with self._scaling:
            await self._failed_before()
            await self.look(now_ns)
            surplus = self._book.count() - units
            if surplus < 0 and self._growing is None:
                self._growing = asyncio.create_task(asyncio.to_thread(self._group.grow, units))
                await asyncio.wait({self._growing}, timeout=GROW_WITHIN_S)
                await self._failed_before()
            elif surplus > 0:
                await see()
                await self._shrink(surplus, now_ns)
            await self.look(now_ns)

    async def _failed_before(self) -> None:
        """Raises what went wrong with machines that were asked for, once."""
        if self._growing is None or not self._growing.done():
            return
        done, self._growing = self._growing, None
        try:
            await done
            self.problem = ""
        except ExecutorError as error:
            self.problem = str(error)
            raise

    async def _shrink(self, surplus: int, now_ns: int) -> None:
        """Those that are not in use yet first, then idle ones, newest first; the head stays."""
        cluster = await self.look(now_ns)
        workers = list(reversed(cluster.workers)) if cluster else []
        for machine in sorted(workers, key=lambda node: self._book.named(node.node_id) is not None):
            if surplus > 0 and await self._drained(self._book.named(machine.node_id)):
                await asyncio.to_thread(self._group.end, [machine.node_id])
                surplus -= 1

    async def _drained(self, node: str | None) -> bool:
        """Whether a node may end: it has no work of ours, and Ray gives it no more."""
        if node is None:
            return True
        if not self._room.close(node):
            return False
        try:
            if await self._link.call("drain", node):
                return True
        except Unreachable:
            self._room.reopen(node)
            raise
        self._room.reopen(node)
        return False
