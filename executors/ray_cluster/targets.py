"""Targets: how many nodes each pool of a cluster wants → one request to the cluster's autoscaler.

Ray keeps one request for the whole cluster, and the newest counts: so the pools' are added up in one place, an actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
import ray.autoscaler.sdk

from executors.ray_cluster.detached_actors import pinned_actor

NAME = "node-targets"

Bundle = Mapping[str, float]
Labels = Mapping[str, str]


class Targets:
    """The actor's state: nodes wanted, by pool."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[int, Bundle, Labels]] = {}

    def want(self, pool: str, nodes: int, bundle: Bundle, labels: Labels) -> None:
        """Asks for nodes that have at least `bundle` and these labels, however busy: `nodes` in all, not more."""
        self._wanted[pool] = (nodes, bundle, labels)
        bundles, selectors = request(self._wanted)
        ray.autoscaler.sdk.request_resources(bundles=bundles, bundle_label_selectors=selectors)


def request(wanted: Mapping[str, tuple[int, Bundle, Labels]]) -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    """What all pools want, as the autoscaler takes it: a bundle for each node, and its labels."""
    each = [(bundle, labels) for nodes, bundle, labels in wanted.values() for _ in range(nodes)]
    return [dict(bundle) for bundle, _ in each], [dict(labels) for _, labels in each]


def targets() -> Any:
    """The actor of this cluster, made where there is none."""
    return pinned_actor(Targets, NAME, ray.get_runtime_context().get_node_id()).remote()
