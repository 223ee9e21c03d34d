"""The site of a pool of KubeRay: what every attempt of it needs, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from executors.kuberay.api import Api
from executors.kuberay.informer import Informer
from executors.kuberay.manifests import Manifests
from executors.kuberay.nodes import Nodes
from executors.kuberay.options import Options
from executors.remote.site import RemoteSite


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(RemoteSite):
    """The parts that are KubeRay's."""

    options: Options
    api: Api
    manifests: Manifests
    pods: Informer  # of head, workers and submitters
    jobs: Informer  # RayJobs
    nodes: Nodes
