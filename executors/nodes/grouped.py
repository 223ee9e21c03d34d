"""A cluster of groups of machines: one for the head, one or more for nodes; the same steps at every provider.

The groups never act by themselves: they replace nothing that ended and choose no machine to end. So a node that ends
itself stays ended, and one that works is never taken for another.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from broker.model.errors import BrokerError, Conflict, ExecutorError, Misconfigured, NoCapacity
from broker.model.nodes import Node, NodeCluster
from broker.model.pools import Pool
from executors.nodes.groups import Group, GroupCalls
from executors.nodes.naming import HEAD, Named, named
from executors.nodes.settings import NodeSettings
from executors.nodes.startup import CLIENT_PORT, Role, token_of
from executors.nodes.waiting import Waiting

GONE_WITHIN_S = 300.0  # machines, after their group was told to end them


Settings = TypeVar("Settings", bound=NodeSettings)
Calls = TypeVar("Calls", bound=GroupCalls)


class GroupedNodes(ABC, Generic[Settings, Calls]):
    """What providers with groups have in common; see `broker.node_group.NodeGroup` for the promises."""

    provider: ClassVar[str]
    _roles: ClassVar[tuple[str, ...]]  # of all groups of nodes that there may be, however nodes are bought now

    def __init__(self, pool: Pool, owner: str, settings: Settings, region: str, calls: Calls) -> None:
        if settings.buy == "spot" and not settings.head_type:
            raise Misconfigured(
                f"pools.{pool.name}.nodes.head_type: is required where nodes are bought as spot: the head must stay"
            )
        self._pool = pool
        self._settings = settings
        self._calls = calls
        self._region = region
        self._named: Named = named(pool.name, owner, settings.name)

    @abstractmethod
    def _spread(self, machines: int) -> dict[str, int]:
        """So many nodes beside the head, by the role of the group that they are in."""

    @abstractmethod
    def _ensure(self, role: str, what: Role, *, there: bool) -> None:
        """A group, empty at first, and what its machines are made from; one that is there is brought up to date."""

    @property
    def _head_works(self) -> bool:
        return not self._settings.head_type

    def _beside(self, nodes: int) -> int:
        """Machines beside the head for so many nodes in all."""
        return max(nodes - 1, 0) if self._head_works else nodes

    def _spot_of(self, machines: int) -> int:
        """How many of so many nodes are spot; of a share, the smaller number."""
        if self._settings.buy == "on_demand":
            return 0
        return int(max(machines - self._settings.on_demand_base, 0) * self._settings.spot_share)

    @property
    def _workers(self) -> list[str]:
        return [self._named.of(role) for role in self._roles]

    @property
    def _all(self) -> list[str]:
        return [self._named.of(HEAD), *self._workers]

    def create(self, nodes: int) -> NodeCluster:
        """Makes what is missing, and takes away all of it again when that fails and nothing was there before."""
        self._check_limit(nodes)
        before = self._calls.groups(self._all)
        self._check_ours(before)
        try:
            return self._create(before, nodes)
        except BrokerError as error:
            if not before:
                self._roll_back(error)
            raise

    def _roll_back(self, error: BrokerError) -> None:
        try:
            self.delete()
        except BrokerError as left:
            raise type(error)(
                f"{error}; and what had been made could not be taken away ({left}): `broker cluster delete "
                f"{self._pool.name}` tries again; look for {', '.join(self._all)}"
            ) from error

    def _check_ours(self, groups: Mapping[str, Group]) -> None:
        for name, group in groups.items():
            if group.pool != self._pool.name:
                raise Conflict(
                    f"there is a group {name} that is not of pool {self._pool.name}: give the cluster another name "
                    f"with pools.{self._pool.name}.nodes.name"
                )
        head = groups.get(self._named.of(HEAD))
        if head is not None and head.members and head.ended == len(head.members):
            raise Conflict(
                f"the head of {self._named.cluster} has ended, and with it the cluster: `broker cluster delete "
                f"{self._pool.name}`, then create it again"
            )

    def _create(self, before: Mapping[str, Group], nodes: int) -> NodeCluster:
        token = self._token() or secrets.token_hex(32)
        self._ensure(HEAD, Role(head=True, works=self._head_works, token=token), there=self._named.of(HEAD) in before)
        head = self._head_started()
        for role in self._spread(0):
            what = Role(head=False, works=True, head_address=head.address, token=token)
            self._ensure(role, what, there=self._named.of(role) in before)
        return self.grow(nodes)

    def _head_started(self) -> Node:
        """The head, once it has an address. Raises `NoCapacity` with what the provider says when it gets none."""
        waiting = self._want(self._named.of(HEAD), 1)
        while True:
            cluster = self.find()
            if cluster is not None and cluster.head is not None and cluster.head.address:
                return cluster.head
            waiting.pause("no machine for the head")

    def _want(self, group: str, machines: int, *, asked: bool = False) -> Waiting:
        """Has a group want so many, if it was not asked for them before; what is to be awaited then."""
        before = self._calls.problems(group)
        if not asked:
            self._calls.want(group, machines)

        def problem() -> str:
            return next((said for one, said in self._calls.problems(group).items() if one not in before), "")

        return Waiting(f"pool {self._pool.name}", self._region, problem, self._settings)

    def find(self) -> NodeCluster | None:
        """The groups, and the machines in them."""
        groups = self._calls.groups(self._all)
        return self._seen(groups) if self._named.of(HEAD) in groups else None

    def _seen(self, groups: Mapping[str, Group]) -> NodeCluster:
        nodes = self._calls.machines(self._all)
        head = next((node.address for node in nodes if node.head and node.up), "")
        return NodeCluster(
            name=self._named.cluster,
            provider=self.provider,
            region=self._region,
            wanted=sum(each.wanted - each.ended for name, each in groups.items() if name in self._workers)
            + self._head_works,
            head_works=self._head_works,
            endpoint=f"ray://{head}:{CLIENT_PORT}" if head else "",
            nodes=nodes,
        )

    def token(self) -> str:
        """From what the head was made from: who can read that can join."""
        token = self._token()
        if token is None:
            raise self._missing()
        return token

    def _token(self) -> str | None:
        text = self._calls.script(self._named.of(HEAD))
        return token_of(text) if text else None

    def _missing(self) -> Misconfigured:
        return Misconfigured(
            f"pool {self._pool.name}: there is no cluster {self._named.cluster} at {self.provider}, or not all of it: "
            f"`broker cluster create {self._pool.name}` makes it"
        )

    def grow(self, nodes: int) -> NodeCluster:
        """Asks for machines that are not starting already, waits for them, and asks for no more than there are."""
        self._check_limit(nodes)
        groups = self._tidied()
        head = self._named.of(HEAD)
        if head not in groups:
            raise self._missing()
        missing = self._beside(nodes) - sum(group.there for name, group in groups.items() if name != head)
        for role, share in self._spread(self._beside(nodes)).items():
            group = groups.get(self._named.of(role))
            if group is None:
                raise self._missing()
            more = min(max(share - group.there, 0), missing)
            if more > 0:
                groups[group.name] = self._grow(group, group.there + more)
                missing -= more
        return self._seen(groups)

    def _grow(self, group: Group, wanted: int) -> Group:
        waiting = self._want(group.name, wanted, asked=group.coming >= wanted)
        while (now := self._group(group.name)).there < wanted:
            try:
                waiting.pause(f"{now.there} of {wanted} machines")
            except NoCapacity:
                self._calls.give_up(group.name)
                raise
        return now

    def _check_limit(self, nodes: int) -> None:
        if nodes > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} nodes, not {nodes}")

    def _group(self, name: str) -> Group:
        found = self._calls.groups([name])
        if name not in found:
            raise self._missing()
        return found[name]

    def _tidied(self) -> dict[str, Group]:
        """All groups, without nodes that ended by themselves: they would be counted for ever."""
        groups = self._calls.groups(self._all)
        for name in self._workers:
            for one in groups[name].members if name in groups else ():
                if not one.healthy:
                    self._calls.end(one.node_id, name)
        return groups

    def end(self, node_ids: Sequence[str]) -> None:
        """Each by its id, with its group wanting one fewer. The head ends with the cluster only."""
        for name, group in self._calls.groups(self._workers).items():
            for one in group.members:
                if one.node_id in node_ids:
                    self._calls.end(one.node_id, name)

    def delete(self) -> None:
        """Nodes before the head, groups before templates; waits until the machines are gone."""
        groups = self._calls.groups(self._all)
        for name, group in groups.items():
            if group.pool != self._pool.name:
                raise Conflict(f"the group {name} is not of pool {self._pool.name}: it was left alone")
        for name in reversed(self._all):
            if name in groups:
                self._calls.delete_group(groups[name])
        self._gone()
        for name in reversed(self._all):
            self._calls.delete_template(name)

    def _gone(self) -> None:
        limit = time.monotonic() + GONE_WITHIN_S
        while any(node.up for node in self._calls.machines(self._all)):
            if time.monotonic() > limit:
                raise ExecutorError(f"pool {self._pool.name}: its machines have not ended in {GONE_WITHIN_S:g} s")
            time.sleep(self._settings.every_s)
