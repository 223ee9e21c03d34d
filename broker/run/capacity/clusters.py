"""Clusters whose machines are made at a provider: a pool's name → its node group, and what its machines cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from broker.model.errors import InvalidInput, Problem, UnknownName
from broker.model.nodes import Machines, Node
from broker.model.offers import Offer, in_force
from broker.model.pools import Pool
from broker.node_group import NodeGroup
from broker.run.build import capabilities
from broker.run.plugins import make_node_group, price_offers
from broker.run.settings import Settings
from broker.spec.validation_errors import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedCluster:
    """A pool whose machines the broker makes."""

    pool: Pool
    group: NodeGroup
    offers: tuple[Offer, ...]  # all that are known

    def price(self, machine: Machines | Node, day: date) -> Offer | None:
        """The offer for a machine: the book's for its type, region and tier; else the pool's own, for its nodes."""
        wanted = f"{self.group.offered_as}/{machine.sku}/{self.pool.region}/{machine.tier.value}".lower()
        found = [offer for offer in self.offers if offer.id == wanted] or _own(self.pool.offers, machine)
        return next(iter(in_force(found, day)), None)

    def usd_per_hour(self, machine: Machines | Node, day: date) -> Decimal | None:
        """What one such machine costs while it is up; None when it is not known."""
        offer = self.price(machine, day)
        return None if offer is None else offer.usd_per_hour


def _own(offers: Sequence[Offer], machine: Machines | Node) -> list[Offer]:
    return [offer for offer in offers if offer.sku == machine.sku and offer.tier is machine.tier]


def managed_cluster(settings: Settings, name: str, owner: str = "") -> ManagedCluster:
    """The cluster of a pool. Raises `UnknownName`, or `InvalidInput` for a pool whose machines nobody makes."""
    offers = price_offers()
    pools = {pool.name: pool for pool in settings.pools(offers, capabilities)}
    if name not in pools:
        near = nearest(name, pools, at_most=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(pools)}"
        raise UnknownName(Problem(message=f"no pool {name!r} in the configuration; {hint}"))
    group = make_node_group(pools[name], owner or settings.user)
    if group is None:
        raise InvalidInput(
            Problem(message=f"pool {name} does not say how its machines are made: it has no table pools.{name}.nodes")
        )
    return ManagedCluster(pool=pools[name], group=group, offers=offers)
