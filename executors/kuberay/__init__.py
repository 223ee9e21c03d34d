"""RayJobs in RayClusters of KubeRay, in a Kubernetes namespace of one's own.

The broker's process holds the Kubernetes client. What runs in the cluster outlives it: a RayJob is named by its
attempt, and what was launched and measured is journalled.
"""

from executors.kuberay.plugin import KubeRay, KubeRayJobs

__all__ = ["KubeRay", "KubeRayJobs"]
