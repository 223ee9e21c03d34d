"""Nodes at Google: a pool's settings → managed instance groups with their templates, for the head and for nodes.

A group's machines are bought in one way: a mixed pool has a group for nodes on demand and one for spot.
"""

from __future__ import annotations

import importlib.util
import re
from typing import ClassVar

from pydantic import Field

from broker.model.errors import Misconfigured
from broker.model.nodes import Machines, NodePart
from broker.model.offers import Tier
from broker.model.pools import Pool
from executors.nodes.gce_calls import GceCalls
from executors.nodes.gce_requests import template_request
from executors.nodes.grouped import GroupedNodes
from executors.nodes.naming import HEAD, SPOT, WORKERS
from executors.nodes.settings import NodeSettings, Text, checked, ends
from executors.nodes.startup import Role, script


class GceSettings(NodeSettings):
    """What Google must be told beside."""

    project: Text
    zone: Text  # us-central1-a
    machine_type: Text
    accelerator_type: str = ""  # GPUs of machine types that do not bring their own: nvidia-tesla-t4 …
    accelerator_count: int = Field(1, ge=1)
    subnetwork: Text  # projects/P/regions/R/subnetworks/S
    network_tags: tuple[Text, ...] = ()  # by which firewall rules know the machines
    endpoint_url: str = ""  # for tests


class GceNodes(GroupedNodes[GceSettings, GceCalls]):
    """Makes the machines of a pool at Google; see `broker.node_group.NodeGroup` for what each method promises."""

    provider: ClassVar[str] = "gcp"
    offered_as: ClassVar[str] = "gcp/gce"
    _roles: ClassVar[tuple[str, ...]] = (WORKERS, SPOT)

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether Google's client is installed."""
        there = importlib.util.find_spec("google") and importlib.util.find_spec("google.cloud.compute_v1")
        return None if there else "not installed: pip install 'gpu-broker[gcp]'"

    def __init__(self, pool: Pool, owner: str) -> None:
        settings = checked(GceSettings, pool.name, pool.nodes)
        if pool.region and settings.zone.rpartition("-")[0] != pool.region:
            raise Misconfigured(f"pools.{pool.name}.nodes.zone: {settings.zone} is not in the region {pool.region}")
        calls = GceCalls(pool.name, settings.project, settings.zone, settings.endpoint_url)
        super().__init__(pool, owner, settings, settings.zone, calls)

    def _spread(self, machines: int) -> dict[str, int]:
        spot = self._spot_of(machines)
        match self._settings.buy:
            case "on_demand":
                return {WORKERS: machines}
            case "spot":
                return {SPOT: machines}
        return {WORKERS: machines - spot, SPOT: spot}

    def parts(self, nodes: int) -> tuple[NodePart, ...]:
        """A template and a group for the head, and for each way in which nodes are bought."""
        kind, spread = self._settings.machine_type, self._spread(self._beside(nodes))
        made = self._parts(HEAD, self._settings.head_type or kind, Tier.ON_DEMAND, 1)
        for role, count in spread.items():
            made += self._parts(role, kind, Tier.SPOT if role == SPOT else Tier.ON_DEMAND, count)
        return tuple(made)

    def _parts(self, role: str, machine: str, tier: Tier, count: int) -> list[NodePart]:
        settings, name = self._settings, self._named.of(role)
        reached = "with public addresses" if settings.public_ip else "private"
        gpus = f" with {settings.accelerator_count} {settings.accelerator_type}" if settings.accelerator_type else ""
        what = f"{machine}{gpus} from {settings.image}, {settings.disk_gib} GiB; {ends(settings, head=role == HEAD)}"
        where = f"in {settings.zone}: {settings.subnetwork}, {reached}"
        machines = (Machines(sku=machine, tier=tier, count=count),) if count else ()
        return [
            NodePart(kind="instance template", name=f"{name}-…", detail=what),
            NodePart(kind="managed instance group", name=name, detail=where, machines=machines),
        ]

    def _ensure(self, role: str, what: Role, *, there: bool) -> None:
        if there and what.head:
            return
        settings, name = self._settings, self._named.of(role)
        labels = {key: label(value) for key, value in {**settings.tags, **self._named.tags(role)}.items()}
        properties = template_request(
            settings,
            settings.head_type if what.head else "",
            script(self._pool, settings, what, "gce"),
            labels,
            spot=role == SPOT,
            lifetime_s=settings.head_max_lifetime_s if what.head else settings.max_lifetime_s,
        )
        link = self._calls.make_template(name, properties)
        if not there:
            self._calls.make_group(name, link)
        else:
            self._calls.change_group(name, link)


def label(text: str) -> str:
    """A value as Google's labels may have it: small letters, digits, hyphens and underscores, 63 at most."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
