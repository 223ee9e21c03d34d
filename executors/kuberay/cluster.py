"""A pool's RayCluster: found, or made; never that of somebody else."""

from __future__ import annotations

import structlog

from broker.model.errors import Misconfigured, Rejected
from executors.kuberay import names
from executors.kuberay.api import Api, Resource
from executors.kuberay.api_errors import AlreadyExists
from executors.kuberay.manifests import Manifests

log = structlog.get_logger()


async def found(api: Api, manifests: Manifests, pool: str) -> Resource | None:
    """The RayCluster, if there is one. Raises `Misconfigured` for one that is not ours."""
    cluster = await api.get("rayclusters", manifests.cluster)
    if cluster is not None:
        _check(cluster, manifests.ray_cluster(0), pool)
    return cluster


async def found_or_made(api: Api, manifests: Manifests, pool: str, workers: int) -> Resource:
    """The RayCluster; a new one has so many workers. Raises `Misconfigured` for one that is not ours."""
    if (cluster := await found(api, manifests, pool)) is not None:
        return cluster
    wanted = manifests.ray_cluster(workers)
    try:
        return await api.create("rayclusters", wanted)
    except AlreadyExists:
        return await found(api, manifests, pool) or wanted
    except Rejected as error:
        raise Misconfigured(f"{error}; the RayCluster is made from the pool's options") from error


def _check(cluster: Resource, wanted: Resource, pool: str) -> None:
    name, labels = wanted["metadata"]["name"], cluster["metadata"].get("labels", {})
    if labels.get(names.OWNER) != wanted["metadata"]["labels"][names.OWNER]:
        raise Misconfigured(
            f"pool {pool}: the RayCluster {name} is not this broker's: choose another name by the option cluster, or "
            f"end it (kubectl delete raycluster {name})"
        )
    before, after = (one["metadata"].get("annotations", {}).get(names.SETTINGS) for one in (cluster, wanted))
    if before != after:
        log.warning(
            "the RayCluster was made with other settings, which it keeps: stop the pool (`broker down --now`) and "
            "start it again to have the new ones",
            pool=pool,
            cluster=name,
        )
