"""Room: nodes and what is held on them → where an attempt fits, counted from the moment it is launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.model.jobs import LaunchRequest
from broker.model.resources import Resources

Extra = Mapping[str, float]  # custom Ray resources, by name
_NONE: Extra = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What an attempt holds on each of its nodes, or what a node has."""

    resources: Resources
    extra: Extra = field(default_factory=dict)

    def fits(self, need: Share) -> bool:
        """Whether `need` can be taken out of this."""
        enough = all(self.extra.get(name, 0.0) + 1e-9 >= amount for name, amount in need.extra.items())
        return enough and self.resources.fits(need.resources)

    def minus(self, taken: Share) -> Share:
        """What is left when `taken` is held."""
        extra = {name: amount - taken.extra.get(name, 0.0) for name, amount in self.extra.items()}
        return Share(resources=self.resources.minus(taken.resources), extra=extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an attempt needs: the same on each of several nodes."""

    share: Share
    nodes: int = 1

    @classmethod
    def of(cls, request: LaunchRequest) -> Need:
        """What a launch asks for."""
        asked = request.spec.resources
        return cls(share=Share(resources=request.resources, extra=asked.extra), nodes=asked.num_nodes)

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> Need:
        """What the supervisor remembers of it."""
        share = Share(resources=Resources(**report["held"]), extra=report.get("extra", _NONE))
        return cls(share=share, nodes=report.get("num_nodes", 1))


class Room:
    """Free resources by node."""

    def __init__(self) -> None:
        self._nodes: dict[str, Share] = {}
        self._held: dict[str, tuple[Share, list[str]]] = {}
        self._closed: set[str] = set()

    def load(self, reports: list[dict[str, Any]], nodes: Mapping[str, Share]) -> None:
        """Begins anew from what the supervisor knows."""
        self._nodes = dict(nodes)
        self._held = {
            report["attempt_id"]: (Need.of_report(report).share, report["nodes"])
            for report in reports
            if report["ended_ns"] is None
        }

    def nodes(self, up: Mapping[str, Share]) -> None:
        """Takes over which nodes are up."""
        self._nodes = {name: have for name, have in up.items() if name not in self._closed}

    def now(self) -> dict[str, tuple[Resources, Resources]]:
        """Total and free of each node."""
        free = self._free()
        return {name: (total.resources, free[name].resources) for name, total in self._nodes.items()}

    def _free(self) -> dict[str, Share]:
        free = dict(self._nodes)
        for share, names in self._held.values():
            for name in names:
                if name in free:
                    free[name] = free[name].minus(share)
        return free

    def holds(self, attempt_id: str) -> list[str]:
        """The nodes held for an attempt; empty for none."""
        return self._held[attempt_id][1] if attempt_id in self._held else []

    def take(self, attempt_id: str, need: Need) -> list[str] | None:
        """Holds room on as many nodes as are needed, the fullest that fit first; None when there is not enough."""
        fitting = [
            (free.resources.gpus, free.resources.cpus, name)
            for name, free in self._free().items()
            if free.fits(need.share)
        ]
        if len(fitting) < need.nodes:
            return None
        names = [name for _, _, name in sorted(fitting)[: need.nodes]]
        self._held[attempt_id] = (need.share, names)
        return names

    def hold(self, attempt_id: str, share: Share, nodes: list[str]) -> None:
        """It holds these, whoever held them before."""
        self._held[attempt_id] = (share, nodes)

    def give_back(self, attempt_id: str) -> None:
        """Its room is free again."""
        self._held.pop(attempt_id, None)

    def idle(self) -> int:
        """Nodes on which nothing is held."""
        busy = {name for _, names in self._held.values() for name in names}
        return sum(name not in busy for name in self._nodes)

    def shut(self, node: str) -> None:
        """Takes a node out of use for what is launched from now on."""
        self._closed.add(node)
        self._nodes.pop(node, None)

    def close(self, node: str) -> bool:
        """Takes an idle node out of use; False when something runs on it."""
        if any(node in names for _, names in self._held.values()):
            return False
        self.shut(node)
        return True

    def reopen(self, node: str) -> None:
        """Takes a node that was closed back into use, from when it is next seen."""
        self._closed.discard(node)


def nodes_for(needs: Sequence[Need], node: Share) -> int:
    """How many empty nodes take all of these, each on the first that has room for it."""
    free: list[Share] = []
    for need in needs:
        places = [at for at, left in enumerate(free) if left.fits(need.share)][: need.nodes]
        for at in places:
            free[at] = free[at].minus(need.share)
        free += [node.minus(need.share)] * (need.nodes - len(places))
    return len(free)
