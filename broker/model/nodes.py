"""Nodes of a cluster at a provider: the machines that there are, and what would be made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from broker.model.offers import Tier


class NodeState(StrEnum):
    """What the provider says of a machine."""

    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"  # it is paid no more; providers forget it after a while


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine, as its provider sees it."""

    node_id: str  # the provider's; unique for ever
    state: NodeState
    head: bool  # it holds the cluster together and runs the first node's share of it
    sku: str  # its type
    tier: Tier  # on_demand or spot
    zone: str
    address: str  # inside the network of the cluster; "" while it has none
    started_ns: int  # when the provider began to start it
    note: str = ""  # why it ended, in the provider's words

    @property
    def up(self) -> bool:
        """Whether it is there, or about to be."""
        return self.state in (NodeState.STARTING, NodeState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCluster:
    """A head and its nodes."""

    name: str
    provider: str
    region: str
    wanted: int  # nodes that run jobs that the provider was asked for
    head_works: bool  # the head is one of them
    endpoint: str = ""  # where a Ray driver attaches: ray://host:port; "" while there is no head
    nodes: tuple[Node, ...]  # the head first, then by the time they started

    @property
    def head(self) -> Node | None:
        """The head that is up."""
        return next((node for node in self.nodes if node.head and node.up), None)

    @property
    def workers(self) -> tuple[Node, ...]:
        """The nodes beside the head that are up."""
        return tuple(node for node in self.nodes if node.up and not node.head)

    @property
    def working(self) -> tuple[Node, ...]:
        """The nodes that are up and run jobs."""
        return tuple(node for node in self.nodes if node.up and (self.head_works or not node.head))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Machines of one kind that would be started."""

    sku: str  # their type
    tier: Tier
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePart:
    """One thing that a cluster is made of, before it is made."""

    kind: str  # the provider's word: launch template, Auto Scaling group
    name: str
    detail: str
    machines: tuple[Machines, ...] = ()  # that it starts at once; empty for what is free
