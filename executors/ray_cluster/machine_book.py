"""The machine book: machines that are rented at a provider, with their lives; Ray's nodes come and go on them.

A machine is paid from when its provider starts it until its provider says that it has ended, whatever Ray does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from broker.model.nodes import NodeCluster
from broker.model.resources import Resources
from broker.model.usage import UnitUsage
from executors.ray_cluster.node_book import LABEL
from executors.remote.room import Share


@dataclass(frozen=True, slots=True)
class _Machine:
    started_ns: int
    ready_ns: int | None = None  # when Ray was first seen on it
    ended_ns: int | None = None
    nodes: list[str] = field(default_factory=list)  # Ray's ids of the nodes that have been on it, newest last
    alive: bool = False  # whether the newest of them is
    extra: dict[str, float] = field(default_factory=dict)  # custom resources
    head: bool = False  # it holds the cluster together and runs no attempts


class MachineBook:
    """Lives of machines by their provider's id; all that work are alike, and a head may be another."""

    def __init__(self, path: Path, unit: Resources) -> None:
        self._path = path
        self._unit = unit
        self._machines: dict[str, _Machine] = {}
        if path.exists():
            self._machines = {name: _Machine(**life) for name, life in json.loads(path.read_text()).items()}

    def rented(self, cluster: NodeCluster | None, now_ns: int) -> None:
        """Takes over which machines there are at the provider; None: no cluster is there."""
        before = dict(self._machines)
        up = {node.node_id: node for node in cluster.nodes if node.up} if cluster else {}
        for name, node in up.items():
            if name not in self._machines:
                alone = node.head and cluster is not None and not cluster.head_works
                self._machines[name] = _Machine(min(node.started_ns, now_ns), head=alone)
        for name, machine in before.items():
            if machine.ended_ns is None and name not in up:
                self._machines[name] = replace(machine, ended_ns=now_ns, alive=False)
        self._save(before)

    def see(self, nodes: list[dict[str, Any]], now_ns: int, _: Mapping[str, int]) -> None:
        """Takes over what Ray says of its nodes."""
        before = dict(self._machines)
        alive = {node["labels"].get(LABEL, ""): node for node in nodes if node["alive"] and node["cpus"]}
        for name, machine in before.items():
            node = alive.get(name)
            if machine.ended_ns is None and (node is not None or machine.alive):
                self._machines[name] = _with_ray(machine, node, now_ns)
        self._save(before)

    def unit_of(self, node: str) -> str:
        """The machine that one of Ray's nodes is, or was, on."""
        return next((name for name, machine in self._machines.items() if node in machine.nodes), node)

    def named(self, name: str) -> str | None:
        """Ray's node that is up on a machine; None where none is."""
        machine = self._machines.get(name)
        return machine.nodes[-1] if machine is not None and machine.alive else None

    def booting(self) -> dict[str, int]:
        """Machines that are paid, and on which Ray does not run, with the time since when."""
        return {
            name: machine.started_ns
            for name, machine in self._machines.items()
            if machine.ended_ns is None and not machine.alive and not machine.head
        }

    def count(self) -> int:
        """Machines that are paid and may work."""
        return sum(machine.ended_ns is None and not machine.head for machine in self._machines.values())

    def units(self, since_ns: int = 0) -> tuple[UnitUsage, ...]:
        """Machines that had not ended before `since_ns`."""
        return tuple(
            UnitUsage(
                unit_id=name,
                resources=Resources() if machine.head else self._unit,
                started_ns=machine.started_ns,
                ready_ns=machine.ready_ns,
                ended_ns=machine.ended_ns,
                head=machine.head,
            )
            for name, machine in self._machines.items()
            if machine.ended_ns is None or machine.ended_ns >= since_ns
        )

    def up(self) -> dict[str, Share]:
        """Ray's nodes that are up, with what they have."""
        return {
            machine.nodes[-1]: Share(resources=self._unit, extra=machine.extra)
            for machine in self._machines.values()
            if machine.alive and machine.ended_ns is None
        }

    def _save(self, before: Mapping[str, _Machine]) -> None:
        if self._machines == before:
            return
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps({name: asdict(machine) for name, machine in self._machines.items()}))
        draft.replace(self._path)


def _with_ray(machine: _Machine, node: Mapping[str, Any] | None, now_ns: int) -> _Machine:
    """The machine with the node that Ray now has on it; None: with none."""
    if node is None:
        return replace(machine, alive=False)
    nodes = machine.nodes if node["id"] in machine.nodes else [*machine.nodes, node["id"]]
    return replace(machine, nodes=nodes, alive=True, ready_ns=machine.ready_ns or now_ns, extra=node["extra"])
