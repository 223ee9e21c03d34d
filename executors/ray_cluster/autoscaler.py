"""The autoscaler of a running cluster, as one pool sees it: what waits and what the plan wants → nodes asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.model.errors import Unreachable
from broker.model.money import NS_PER_S
from broker.model.pools import Pool
from executors.ray_cluster.link import GatewayLink
from executors.ray_cluster.options import Options
from executors.ray_cluster.pending_attempts import PendingAttempts
from executors.remote.room import Need, Room, Share


class Autoscaler:
    """Asks for nodes; never for more than the pool may have. Does nothing where the cluster has no autoscaler."""

    def __init__(self, pool: Pool, options: Options, state_dir: Path, link: GatewayLink, room: Room) -> None:
        self._pool = pool
        self._options = options
        self._file = state_dir / "target"  # so that the plan's nodes stay when the broker is started again
        self._link = link
        self._room = room
        self._pending = PendingAttempts(Share(resources=pool.unit), pool.max_units)
        if self._file.exists():
            self._pending.aim(int(self._file.read_text()))

    def load(self, held: Sequence[Mapping[str, Any]], now_ns: int) -> None:
        """Takes over what the supervisor says is waiting."""
        self._pending.forget()
        for report in held:
            if report["ended_ns"] is None and report["awaits"]:
                self._add(report["attempt_id"], Need.of_report(report), max(report["launched_ns"], 0))

    def awaits(self, attempt_id: str, need: Need, now_ns: int) -> bool:
        """Whether an attempt may wait for a node to be started for it, as it does from now on."""
        return self._options.autoscaled and self._add(attempt_id, need, now_ns)

    def _add(self, attempt_id: str, need: Need, since_ns: int) -> bool:
        until_ns = since_ns + self._options.node_wait_s * NS_PER_S
        return self._pending.add(attempt_id, need, until_ns, len(self._room.now()))

    def drop(self, attempt_id: str) -> None:
        """An attempt has ended: it waits no longer."""
        self._pending.drop(attempt_id)

    async def serve(self, now_ns: int) -> None:
        """Places what waited for nodes that are there now, gives back what has waited in vain, asks for the rest."""
        if not self._options.autoscaled:
            return
        for attempt_id, nodes in self._pending.served(self._room).items():
            if not await self._link.call("place", attempt_id, nodes):
                self._room.give_back(attempt_id)
        for attempt_id in self._pending.expired(now_ns):
            why = f"pool {self._pool.name}: no node was started for it within {self._options.node_wait_s} s"
            await self._link.call("give_up", attempt_id, why)
        await self.tell()

    async def aim(self, units: int) -> None:
        """The plan wants so many nodes. Raises `Unreachable`."""
        self._file.write_text(str(units))
        self._pending.aim(units)
        await self.tell()

    async def tell(self) -> None:
        """Asks for as many nodes as are wanted now, where that is not what was asked for last."""
        if self._options.autoscaled and (nodes := self._pending.to_request(self._room)) is not None:
            try:
                await self._link.call("want", nodes, self._bundle(), self._options.labels)
            except Unreachable:
                self._pending.forget()
                raise

    async def release(self) -> None:
        """Withdraws the request: no node is wanted any more."""
        if self._options.autoscaled:
            self._file.unlink(missing_ok=True)
            await self._link.call("want", 0, self._bundle(), self._options.labels)

    def _bundle(self) -> dict[str, float]:
        """What a node of the pool has at least; its memory is less than what the configuration says, as Ray counts."""
        unit = self._pool.unit
        bundle = {"CPU": unit.cpus, "GPU": unit.gpus}
        if unit.gpu_model and not self._options.labels:
            bundle[f"accelerator_type:{unit.gpu_model}"] = 0.001
        return {name: amount for name, amount in bundle.items() if amount}
