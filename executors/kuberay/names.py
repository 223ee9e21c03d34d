"""Attempts and pools → names and labels of Kubernetes resources, by which they are found again."""

from __future__ import annotations

import hashlib
import re
from typing import Final

POOL: Final = "gpu-broker/pool"
OWNER: Final = "gpu-broker/owner"  # which broker's: the one with this state folder
ATTEMPT: Final = "gpu-broker/attempt"  # the RayJob's name
JOB_ID: Final = "gpu-broker/job-id"  # annotations: any text
ATTEMPT_ID: Final = "gpu-broker/attempt-id"
SETTINGS: Final = "gpu-broker/settings"  # a hash of what a RayCluster was made from
CLUSTER: Final = "ray.io/cluster"  # KubeRay's own labels of pods
NODE_TYPE: Final = "ray.io/node-type"
QUEUE: Final = "kueue.x-k8s.io/queue-name"

_LONGEST: Final = 47  # characters of a RayJob's name
_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def resource_name(attempt_id: str) -> str:
    """The RayJob's name: the attempt's id where that is one, otherwise like it and with a hash; no two the same."""
    if _LABEL.fullmatch(attempt_id) and len(attempt_id) <= _LONGEST and not attempt_id.startswith("x-"):
        return attempt_id
    plain = re.sub(r"[^a-z0-9]+", "-", attempt_id.lower()).strip("-")[:30].rstrip("-")
    return f"x-{plain}-{hashlib.sha256(attempt_id.encode()).hexdigest()[:10]}"


def unit_id(pod: dict[str, object]) -> str:
    """A pod as a unit, unique for ever."""
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return f"{metadata['name']}.{metadata['uid'][:8]}"
