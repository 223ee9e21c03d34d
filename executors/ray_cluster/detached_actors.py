"""Detached actors, pinned to one node: on an autoscaled node they would keep it from ever being idle."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def pinned_actor(actor: type, name: str, node: str, **options: Any) -> Any:
    """An actor class whose `.remote()` creates an actor of this name on `node`, or gets the one that exists."""
    return ray.remote(actor).options(
        name=name,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        memory=1,  # asking for nothing, it could be sent to another node first, and stay there
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
        **options,
    )
