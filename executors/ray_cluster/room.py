"""Room: nodes and what is held on them → where an attempt fits, counted from the moment it is launched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.model.resources import Resources


class Room:
    """Free resources by node."""

    def __init__(self) -> None:
        self._nodes: dict[str, Resources] = {}
        self._held: dict[str, tuple[Resources, list[str]]] = {}
        self._closed: set[str] = set()

    def load(self, reports: list[dict[str, Any]], nodes: Mapping[str, Resources]) -> None:
        """Begins anew from what the supervisor knows."""
        self._nodes = dict(nodes)
        self._held = {
            report["attempt_id"]: (Resources(**report["held"]), report["nodes"])
            for report in reports
            if report["ended_ns"] is None
        }

    def nodes(self, up: Mapping[str, Resources]) -> None:
        """Takes over which nodes are up."""
        self._nodes = {name: have for name, have in up.items() if name not in self._closed}

    def now(self) -> dict[str, tuple[Resources, Resources]]:
        """Total and free of each node."""
        free = dict(self._nodes)
        for resources, names in self._held.values():
            for name in names:
                if name in free:
                    free[name] = free[name].minus(resources)
        return {name: (total, free[name]) for name, total in self._nodes.items()}

    def holds(self, attempt_id: str) -> list[str]:
        """The nodes held for an attempt; empty for none."""
        return self._held.get(attempt_id, (Resources(), []))[1]

    def take(self, attempt_id: str, resources: Resources, count: int) -> list[str] | None:
        """Holds room on `count` nodes, the fullest that fit first; None when there is not enough."""
        fitting = [(free.gpus, free.cpus, name) for name, (_, free) in self.now().items() if free.fits(resources)]
        if len(fitting) < count:
            return None
        names = [name for _, _, name in sorted(fitting)[:count]]
        self._held[attempt_id] = (resources, names)
        return names

    def hold(self, attempt_id: str, resources: Resources, nodes: list[str]) -> None:
        """It holds these, whoever held them before."""
        self._held[attempt_id] = (resources, nodes)

    def give_back(self, attempt_id: str) -> None:
        """Its room is free again."""
        self._held.pop(attempt_id, None)

    def close(self, node: str) -> bool:
        """Takes an idle node out of use; False when something runs on it."""
        if any(node in names for _, names in self._held.values()):
            return False
        self._closed.add(node)
        self._nodes.pop(node, None)
        return True
