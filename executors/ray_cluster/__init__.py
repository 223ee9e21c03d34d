"""The cluster pool on Ray: attempts → tasks on warm workers of a Ray cluster, ours on this machine or anyone's.

`RayCluster` lives in the broker's process without importing Ray; a gateway process is the attached driver; a detached
supervisor actor owns the tasks, so that attempts outlive both.
"""

from executors.ray_cluster.plugin import RayCluster

__all__ = ["RayCluster"]
