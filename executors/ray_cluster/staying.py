"""Actors that outlive their driver and stay on one node: a node that comes and goes would never be idle."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def staying(actor: type, name: str, node: str, **options: Any) -> Any:
    """A class of which an actor of this name is made on a node, or found where there is one already."""
    return ray.remote(actor).options(
        name=name,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        memory=1,  # what needs nothing is first sent to any node, and stays if that does not know this one yet
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
        **options,
    )
