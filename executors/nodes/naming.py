"""A pool and its owner → names and tags of what is made at a provider, by which it is found again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from broker.model.errors import Misconfigured
from executors.nodes.settings import NAME_LIMIT

POOL_TAG: Final = "broker_pool"
OWNER_TAG: Final = "broker_owner"
ROLE_TAG: Final = "broker_role"
HEAD: Final = "head"
WORKERS: Final = "nodes"
SPOT: Final = "spot"  # nodes of a group of their own, where a group is bought in one way


@dataclass(frozen=True, slots=True)
class Named:
    """What is made for one cluster."""

    cluster: str
    pool: str
    owner: str

    def of(self, role: str) -> str:
        """The name of what makes machines of a role."""
        return f"broker-{self.cluster}-{role}"

    def tags(self, role: str) -> dict[str, str]:
        """The tags of what is made for a role."""
        return {POOL_TAG: self.pool, OWNER_TAG: self.owner, ROLE_TAG: role}


def named(pool: str, owner: str, cluster: str) -> Named:
    """The names for a pool; `cluster` is the name that its settings give, "" for the pool's own."""
    name = cluster or pool.replace("_", "-").strip("-")
    if len(name) > NAME_LIMIT or not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name):
        raise Misconfigured(
            f"pools.{pool}.nodes.name: {name!r} is no name for a cluster: give one of at most {NAME_LIMIT} letters, "
            "digits and hyphens that begins with a letter"
        )
    return Named(name, pool, owner)
