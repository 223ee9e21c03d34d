"""How these tests drive a pool: made in one call, with its settings, in a cluster of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.executor_watch import SystemClock, Watch
from executors.kuberay import KubeRay, KubeRayJobs
from tests.executors.kuberay.server.service import Cluster
from tests.executors.kuberay.server.world import NAMESPACE

UNIT = Resources(cpus=2.0, memory_bytes=2 * GIB)


def pool_of(cluster: Cluster, **fields: Any) -> Pool:
    plain = {"kubeconfig": str(cluster.kubeconfig), "namespace": NAMESPACE, "image": "rayproject/ray:2.60.0"}
    options = {**plain, "initial_workers": 2, "patience_s": 3.0, **fields.pop("options", {})}
    values = {"unit": UNIT, "max_units": 2, "executor": "kuberay", "kind": PoolKind.CLUSTER, **fields}
    return builders.pool("vpc", options=options, **values)


def own_pool_of(cluster: Cluster, **fields: Any) -> Pool:
    """A pool in which each attempt has a RayCluster of its own."""
    plain = {"kubeconfig": str(cluster.kubeconfig), "namespace": NAMESPACE, "image": "rayproject/ray:2.60.0"}
    options = {**plain, "patience_s": 3.0, **fields.pop("options", {})}
    values = {"unit": UNIT, "max_units": 4, "executor": "kuberay_jobs", "scaledown_window_s": 0.0, **fields}
    return builders.pool("gangs", options=options, **{"kind": PoolKind.SERVERLESS, **values})


def executor_on(pool: Pool, folder: Path, max_stream_bytes: int = 1 << 30, *, begins: bool = True) -> KubeRayJobs:
    made = KubeRay if pool.kind is PoolKind.CLUSTER else KubeRayJobs
    context = ExecutorContext(
        pool=pool, state_dir=folder, clock=SystemClock(), max_stream_bytes=max_stream_bytes, begins=begins
    )
    return made(context)


@asynccontextmanager
async def open_pool(cluster: Cluster, folder: Path, **fields: Any) -> AsyncIterator[Watch]:
    """An open pool, with `own` one of RayClusters of attempts; stopped afterwards."""
    made = own_pool_of if fields.pop("own", False) else pool_of
    watch = Watch(executor_on(made(cluster, **fields), folder))
    await watch.executor.open()
    try:
        yield watch
    finally:
        await watch.executor.close(stop=True)
