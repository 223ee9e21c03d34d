"""Nodes at AWS: a pool's settings → two Auto Scaling groups with their launch templates, for the head and for nodes.

The groups never act by themselves: they replace nothing that ended and choose no machine to end (`suspended`,
protection from scale-in). So a node that ends itself stays ended, and one that works is never taken for another.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from broker.model.errors import BrokerError, Conflict, ExecutorError, Misconfigured, NoCapacity
from broker.model.nodes import Machines, Node, NodeCluster, NodePart
from broker.model.offers import Tier
from broker.model.pools import Pool
from executors.nodes.ec2_calls import Ec2Calls, Group
from executors.nodes.ec2_requests import group_request, template_request
from executors.nodes.naming import HEAD, WORKERS, named
from executors.nodes.settings import NodeSettings, Text, checked, span
from executors.nodes.startup import Role, script, token_of
from executors.nodes.waiting import Waiting

GROUP_LIMIT_S = 300.0  # for machines to be gone after their group was told to end them


class Ec2Settings(NodeSettings):
    """What AWS must be told beside."""

    region: str = ""  # "": the pool's
    instance_type: Text
    head_type: str = ""  # "": the head is like the nodes, and works; else it holds the cluster together and no more
    subnets: tuple[Text, ...] = Field(min_length=1)
    security_groups: tuple[Text, ...] = Field(min_length=1)
    key_name: str = ""  # of an SSH key; "": nobody logs in
    root_device: str = "/dev/sda1"  # as the image calls it; Amazon Linux: /dev/xvda
    profile: str = ""  # of the credentials; "": AWS's usual places
    endpoint_url: str = ""  # for tests


class Ec2Nodes:
    """Makes the machines of a pool at AWS; see `broker.node_group.NodeGroup` for what each method promises."""

    provider: ClassVar[str] = "aws"
    offered_as: ClassVar[str] = "aws/ec2"

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether AWS's client is installed."""
        import importlib.util

        return None if importlib.util.find_spec("boto3") else "not installed: pip install 'gpu-broker[aws]'"

    def __init__(self, pool: Pool, owner: str) -> None:
        self._pool = pool
        given = checked(Ec2Settings, pool.name, pool.nodes)
        self._settings = given.model_copy(update={"region": given.region or pool.region})
        if not self._settings.region:
            raise Misconfigured(f"pools.{pool.name}.region: is required: which of AWS's regions, as us-east-1")
        if given.buy == "spot" and not given.head_type:
            raise Misconfigured(
                f"pools.{pool.name}.nodes.head_type: is required where nodes are bought as spot: the head must stay"
            )
        self._named = named(pool.name, owner, given.name)
        self._calls = Ec2Calls(pool.name, self._settings.region, self._settings.profile, self._settings.endpoint_url)

    @property
    def _head_works(self) -> bool:
        return not self._settings.head_type

    def _beside(self, nodes: int) -> int:
        """Machines of the nodes' group for so many nodes in all."""
        return max(nodes - 1, 0) if self._head_works else nodes

    def parts(self, nodes: int) -> tuple[NodePart, ...]:
        """Two templates and two groups."""
        settings, beside = self._settings, self._beside(nodes)
        spot = self._spot_of(beside)
        head, kind = settings.head_type or settings.instance_type, settings.instance_type
        bought = ((Tier.ON_DEMAND, beside - spot), (Tier.SPOT, spot))
        return (
            self._template_part(HEAD, head),
            self._group_part(HEAD, 1, [Machines(sku=head, tier=Tier.ON_DEMAND, count=1)]),
            self._template_part(WORKERS, kind),
            self._group_part(
                WORKERS,
                self._beside(self._pool.max_units),
                [Machines(sku=kind, tier=tier, count=count) for tier, count in bought if count],
            ),
        )

    def _template_part(self, role: str, machine: str) -> NodePart:
        settings = self._settings
        ends = (
            f"ends itself after {span(settings.head_idle_s)} alone, or {span(settings.head_max_lifetime_s)} in all"
            if role == HEAD
            else f"ends itself after {span(settings.idle_s)} without work, or {span(settings.max_lifetime_s)} in all"
        )
        detail = f"{machine} from {settings.image}, {settings.disk_gib} GiB; {ends}"
        return NodePart(kind="launch template", name=self._named.of(role), detail=detail)

    def _group_part(self, role: str, most: int, machines: Sequence[Machines]) -> NodePart:
        settings = self._settings
        reached = "with public addresses" if settings.public_ip else "private"
        detail = f"at most {most} in {settings.region}: {', '.join(settings.subnets)}, {reached}"
        return NodePart(kind="Auto Scaling group", name=self._named.of(role), detail=detail, machines=tuple(machines))

    def _spot_of(self, machines: int) -> int:
        """How many of the nodes' group are spot: AWS rounds on-demand machines up."""
        if self._settings.buy == "on_demand":
            return 0
        return int(max(machines - self._settings.on_demand_base, 0) * self._settings.spot_share)

    def create(self, nodes: int) -> NodeCluster:
        """Makes what is missing, and takes away all of it again when that fails and nothing was there before."""
        self._check_limit(nodes)
        before = self._calls.groups(self._both())
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
        except ExecutorError as left:
            names = ", ".join(self._both())
            raise type(error)(
                f"{error}; and what had been made could not be taken away ({left}): `broker cluster delete "
                f"{self._pool.name}` tries again; look for {names}"
            ) from error

    def _both(self) -> tuple[str, str]:
        return self._named.of(HEAD), self._named.of(WORKERS)

    def _check_ours(self, groups: Mapping[str, Group]) -> None:
        for name, group in groups.items():
            if group.pool != self._pool.name:
                raise Conflict(
                    f"AWS has an Auto Scaling group {name} that is not of pool {self._pool.name}: give the cluster "
                    f"another name with pools.{self._pool.name}.nodes.name"
                )
        head = groups.get(self._named.of(HEAD))
        if head is not None and head.instances and not any(one.healthy for one in head.instances):
            raise Conflict(
                f"the head of {self._named.cluster} has ended, and with it the cluster: `broker cluster delete "
                f"{self._pool.name}`, then create it again"
            )

    def _create(self, before: Mapping[str, Group], nodes: int) -> NodeCluster:
        token = self._token() or secrets.token_hex(32)
        self._ensure(
            HEAD,
            before,
            Role(head=True, works=self._head_works, head_address="", token=token, metadata="ec2"),
            self._settings.head_type,
        )
        head = self._head_started()
        self._ensure(
            WORKERS, before, Role(head=False, works=True, head_address=head.address, token=token, metadata="ec2"), ""
        )
        return self.grow(nodes)

    def _ensure(self, role: str, before: Mapping[str, Group], what: Role, machine: str) -> None:
        """A template and a group of a role. What is there stays, but new nodes will be as the settings are now."""
        name, tags = self._named.of(role), {**self._settings.tags, **self._named.tags(role)}
        template = template_request(self._settings, machine, script(self._pool, self._settings, what), tags)
        most = 1 if what.head else self._beside(self._pool.max_units)
        group = group_request(self._settings, name, head=what.head, most=most)
        if name not in before:
            self._calls.make_template(name, template, tags)
            self._calls.make_group(group, tags)
        elif not what.head:
            self._calls.change_template(name, template)
            self._calls.change_group(group)

    def _head_started(self) -> Node:
        """The head, once it has an address. Raises `NoCapacity` with what AWS says when it gets none in time."""
        waiting = self._want(self._named.of(HEAD), 1)
        while True:
            cluster = self.find()
            if cluster is not None and cluster.head is not None and cluster.head.address:
                return cluster.head
            waiting.pause("no machine for the head")

    def _want(self, group: str, machines: int) -> Waiting:
        """Has a group want so many; what is to be awaited then."""
        settings = self._settings
        before = self._calls.problems(group)
        self._calls.want(group, machines)

        def problem() -> str:
            return next((said for one, said in self._calls.problems(group).items() if one not in before), "")

        return Waiting(f"pool {self._pool.name}", settings.region, problem, settings.launch_wait_s, settings.every_s)

    def find(self) -> NodeCluster | None:
        """Two questions: the groups, and the machines that carry the pool's tag."""
        groups = self._calls.groups(self._both())
        if self._named.of(HEAD) not in groups:
            return None
        nodes = self._calls.machines(self._both())
        workers = groups.get(self._named.of(WORKERS))
        return NodeCluster(
            name=self._named.cluster,
            provider=self.provider,
            region=self._settings.region,
            wanted=(workers.wanted if workers else 0) + self._head_works,
            nodes=nodes,
        )

    def token(self) -> str:
        """From the launch template of the head: who can read that can join."""
        token = self._token()
        if token is None:
            raise Misconfigured(
                f"pool {self._pool.name}: there is no cluster {self._named.cluster} at AWS: `broker cluster create "
                f"{self._pool.name}` makes it"
            )
        return token

    def _token(self) -> str | None:
        text = self._calls.user_data(self._named.of(HEAD))
        return token_of(text) if text else None

    def grow(self, nodes: int) -> NodeCluster:
        """Asks for more machines, waits until they have started, and asks for no more than there are."""
        self._check_limit(nodes)
        name, wanted = self._named.of(WORKERS), self._beside(nodes)
        if len(self._tidied(name).instances) < wanted:
            waiting = self._want(name, wanted)
            while (there := len(self._calls.group(name).instances)) < wanted:
                try:
                    waiting.pause(f"{there} of {wanted} machines")
                except NoCapacity:
                    self._calls.want(name, len(self._calls.group(name).instances))
                    raise
        found = self.find()
        if found is None:
            raise Misconfigured(f"pool {self._pool.name}: the cluster {self._named.cluster} was deleted meanwhile")
        return found

    def _check_limit(self, nodes: int) -> None:
        if nodes > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} nodes, not {nodes}")

    def _tidied(self, name: str) -> Group:
        """The group without machines that ended by themselves: it would count them for ever."""
        group = self._calls.group(name)
        for one in group.instances:
            if not one.healthy:
                self._calls.end(one.instance_id, name)
        return replace(group, instances=tuple(one for one in group.instances if one.healthy))

    def end(self, node_ids: Sequence[str]) -> None:
        """Each by its id, with the group wanting one fewer. The head ends with the cluster only."""
        members = {one.instance_id for one in self._calls.group(self._named.of(WORKERS)).instances}
        for node_id in node_ids:
            if node_id in members:
                self._calls.end(node_id, self._named.of(WORKERS))

    def delete(self) -> None:
        """Nodes before the head, groups before templates; waits until the machines are gone."""
        groups = self._calls.groups(self._both())
        for name, group in groups.items():
            if group.pool != self._pool.name:
                raise Conflict(f"the Auto Scaling group {name} is not of pool {self._pool.name}: it was left alone")
        for name in reversed(self._both()):
            if name in groups:
                self._calls.delete_group(groups[name])
        self._gone()
        for name in reversed(self._both()):
            self._calls.delete_template(name)

    def _gone(self) -> None:
        limit = time.monotonic() + GROUP_LIMIT_S
        while any(node.up for node in self._calls.machines(self._both())):
            if time.monotonic() > limit:
                raise ExecutorError(f"pool {self._pool.name}: its machines have not ended in {GROUP_LIMIT_S:g} s")
            time.sleep(self._settings.every_s)
