"""Draining: a node of Ray is given no more work, if it has none now; asked of Ray from within the cluster."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def drain(node_id: str) -> bool:
    """Whether Ray agreed: it does not where something runs, of ours or of others."""
    import ray._raylet
    from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_IDLE_TERMINATION

    gcs = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    accepted, _ = gcs.drain_node(node_id, DRAIN_NODE_REASON_IDLE_TERMINATION, "fewer nodes are wanted", 0)
    return bool(accepted)


DRAIN: Any = ray.remote(num_cpus=0, max_retries=0)(drain)


def drained(node_id: str) -> Any:
    """A reference to the answer, which another node than this one gives, where there is another."""
    here = ray.get_runtime_context().get_node_id()
    return DRAIN.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True)).remote(node_id)
