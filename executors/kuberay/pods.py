"""A pod of a RayCluster, as the API server has it → what it is, where, and since when by Kubernetes' own clock."""

from __future__ import annotations

from datetime import datetime

from broker.model.money import NS_PER_S
from executors.kuberay import names
from executors.kuberay.api import Resource


def is_head(pod: Resource) -> bool:
    """Whether it holds a RayCluster together."""
    return _type(pod) == "head"


def is_worker(pod: Resource) -> bool:
    """Whether the pod runs attempts."""
    return _type(pod) == "worker"


def lives(pod: Resource) -> bool:
    """Whether the pod has not ended."""
    return pod.get("status", {}).get("phase", "Pending") in ("Pending", "Running")


def is_ready(pod: Resource) -> bool:
    """Whether Ray runs in the pod."""
    ready = _condition(pod, "Ready") is not None
    return ready and bool(pod["status"].get("podIP")) and "deletionTimestamp" not in pod["metadata"]


def address(pod: Resource) -> str:
    """Where it is, in the cluster's network; Ray knows it by that."""
    return str(pod["status"]["podIP"])


def asked_ns(pod: Resource) -> int:
    """When it was made: from then on it waits for a node."""
    return _ns(pod["metadata"]["creationTimestamp"])


def paid_ns(pod: Resource) -> int | None:
    """Since when it is on a node; None while it is on none."""
    if not pod["spec"].get("nodeName"):
        return None
    return _condition(pod, "PodScheduled") or asked_ns(pod)


def ready_ns(pod: Resource) -> int | None:
    """Since when it is ready; None where it is not."""
    return _condition(pod, "Ready") if is_ready(pod) else None


def _type(pod: Resource) -> str:
    return str(pod["metadata"]["labels"].get(names.NODE_TYPE, ""))


def _condition(pod: Resource, kind: str) -> int | None:
    """Since when a condition is true; None where it is not."""
    for one in pod.get("status", {}).get("conditions", []):
        if one["type"] == kind and one["status"] == "True":
            return _ns(one["lastTransitionTime"])
    return None


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * NS_PER_S
