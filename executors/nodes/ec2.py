"""Nodes at AWS: a pool's settings → two Auto Scaling groups with their launch templates, for the head and for nodes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from broker.model.errors import Misconfigured
from broker.model.nodes import Machines, NodePart
from broker.model.offers import Tier
from broker.model.pools import Pool
from executors.nodes.ec2_calls import Ec2Calls
from executors.nodes.ec2_requests import group_request, template_request
from executors.nodes.grouped import GroupedNodes
from executors.nodes.naming import HEAD, WORKERS
from executors.nodes.settings import NodeSettings, Text, checked, ends
from executors.nodes.startup import Role, script


class Ec2Settings(NodeSettings):
    """What AWS must be told beside."""

    region: str = ""  # "": the pool's
    instance_type: Text
    subnets: tuple[Text, ...] = Field(min_length=1)
    security_groups: tuple[Text, ...] = Field(min_length=1)
    key_name: str = ""  # of an SSH key; "": nobody logs in
    root_device: str = "/dev/sda1"  # as the image calls it; Amazon Linux: /dev/xvda
    profile: str = ""  # of the credentials; "": AWS's usual places
    endpoint_url: str = ""  # for tests


class Ec2Nodes(GroupedNodes[Ec2Settings, Ec2Calls]):
    """Makes the machines of a pool at AWS; see `broker.node_group.NodeGroup` for what each method promises."""

    provider: ClassVar[str] = "aws"
    offered_as: ClassVar[str] = "aws/ec2"
    _roles: ClassVar[tuple[str, ...]] = (WORKERS,)

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether AWS's client is installed."""
        return None if importlib.util.find_spec("boto3") else "not installed: pip install 'gpu-broker[aws]'"

    def __init__(self, pool: Pool, owner: str) -> None:
        settings = checked(Ec2Settings, pool.name, pool.nodes)
        region = settings.region or pool.region
        if not region:
            raise Misconfigured(f"pools.{pool.name}.region: is required: which of AWS's regions, as us-east-1")
        calls = Ec2Calls(pool.name, region, settings.profile, settings.endpoint_url)
        super().__init__(pool, owner, settings, region, calls)

    def _spread(self, machines: int) -> dict[str, int]:
        return {WORKERS: machines}

    def parts(self, nodes: int) -> tuple[NodePart, ...]:
        """Two templates and two groups."""
        beside, kind = self._beside(nodes), self._settings.instance_type
        spot, head = self._spot_of(beside), self._settings.head_type or kind
        bought = ((Tier.ON_DEMAND, beside - spot), (Tier.SPOT, spot))
        nodes_at_once = [Machines(sku=kind, tier=tier, count=count) for tier, count in bought if count]
        return (
            self._template_part(HEAD, head),
            self._group_part(HEAD, 1, [Machines(sku=head, tier=Tier.ON_DEMAND, count=1)]),
            self._template_part(WORKERS, kind),
            self._group_part(WORKERS, self._beside(self._pool.max_units), nodes_at_once),
        )

    def _template_part(self, role: str, machine: str) -> NodePart:
        settings = self._settings
        detail = f"{machine} from {settings.image}, {settings.disk_gib} GiB; {ends(settings, head=role == HEAD)}"
        return NodePart(kind="launch template", name=self._named.of(role), detail=detail)

    def _group_part(self, role: str, most: int, machines: Sequence[Machines]) -> NodePart:
        reached = "with public addresses" if self._settings.public_ip else "private"
        detail = f"at most {most} in {self._region}: {', '.join(self._settings.subnets)}, {reached}"
        return NodePart(kind="Auto Scaling group", name=self._named.of(role), detail=detail, machines=tuple(machines))

    def _ensure(self, role: str, what: Role, *, there: bool) -> None:
        settings, name = self._settings, self._named.of(role)
        tags = {**settings.tags, **self._named.tags(role)}
        machine = settings.head_type if what.head else ""
        template = template_request(settings, machine, script(self._pool, settings, what, "ec2"), tags)
        most = 1 if what.head else self._beside(self._pool.max_units)
        group = group_request(settings, name, head=what.head, most=most)
        if not there:
            self._calls.make_template(name, template, tags)
            self._calls.make_group(group, tags)
        elif not what.head:
            self._calls.change_template(name, template)
            self._calls.change_group(group)
