"""The port to providers of machines: what the broker needs from who makes the nodes of a cluster, with its promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from broker.model.nodes import NodeCluster, NodePart


class NodeGroup(Protocol):
    """Makes the machines of one cluster pool at a provider: a head, and nodes that join it and end themselves.

    Construction (`Plugin(pool, owner)`) reads `pool.nodes`, raises `Misconfigured` for wrong settings and asks nobody.
    All state is the provider's: any process goes on where another stopped. Methods block, are safe from any thread, try
    again what fails for a moment, and raise `Unreachable`, `Misconfigured` (it names the permission) or `NoCapacity`.
    """

    provider: ClassVar[str]
    offered_as: ClassVar[str]  # provider/product of offers for its machines: aws/ec2

    @classmethod
    def unavailable(cls) -> str | None:
        """As an executor's."""
        ...

    def parts(self, nodes: int) -> tuple[NodePart, ...]:
        """What `create` would make. Asks nobody."""
        ...

    def create(self, nodes: int) -> NodeCluster:
        """Makes what is missing for so many nodes and returns once their machines were started.

        When it fails, what it had made is taken away. Raises `Conflict` for a name that is another's, or a dead head.
        """
        ...

    def find(self) -> NodeCluster | None:
        """The cluster as the provider sees it, with machines that ended lately; None when there is none."""
        ...

    def token(self) -> str:
        """What lets a process into the cluster. Raises `Misconfigured` when there is no cluster."""
        ...

    def grow(self, nodes: int) -> NodeCluster:
        """Has at least so many nodes. Raises `NoCapacity` when the provider has fewer; those that it has stay."""
        ...

    def end(self, node_ids: Sequence[str]) -> None:
        """Ends these machines and wants so many fewer; ids that are not there are ignored."""
        ...

    def delete(self) -> None:
        """Ends all of it, and returns when nothing is paid for any more; a repeat is fine."""
        ...
