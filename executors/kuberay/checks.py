"""Refuses pools that KubeRay can't be, and attempts that can never run in one, before anything is started."""

from __future__ import annotations

from broker.model.environment import image_title
from broker.model.errors import Misconfigured, Rejected
from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool, PoolKind
from executors.kuberay.options import Options


def check_pool(pool: Pool, kind: PoolKind) -> None:
    """Raises `Misconfigured` for a pool that KubeRay can't be; `kind` is that of its executor."""
    if pool.kind is not kind:
        raise Misconfigured(
            f"pool {pool.name}: a pool of the executor kuberay, whose attempts share workers, is of kind cluster; one "
            "of kuberay_jobs, in which each has a RayCluster of its own, is of kind serverless"
        )
    if kind is PoolKind.SERVERLESS and pool.scaledown_window_s:
        raise Misconfigured(f"pool {pool.name}: a RayCluster of an attempt ends with it: say scaledown_window = 0")
    if len(pool.gpu_models) > 1:
        raise Misconfigured(f"pool {pool.name}: its workers have one model of GPU: make a pool for each")
    if pool.unit.gpus != int(pool.unit.gpus):
        raise Misconfigured(f"pool {pool.name}: a worker has whole GPUs, not {pool.unit.gpus:g}")


def check(request: LaunchRequest, pool: Pool, options: Options) -> None:
    """Raises `Rejected` for what can never run here."""
    spec, name, asked = request.spec, pool.name, request.resources
    nodes = spec.resources.num_nodes
    if nodes > pool.max_units:
        raise Rejected(f"pool {name} has {pool.max_units} workers at most, not {nodes}")
    if nodes > 1 and spec.runtime != "ray":
        raise Rejected(f"pool {name} runs jobs of several nodes as Ray programs only: say runtime: ray")
    if spec.image is not None:
        raise Rejected(f"pool {name}: its workers have the image {options.image}, not {image_title(spec.image)}")
    if spec.function and spec.function.python != options.python:
        raise Rejected(f"pool {name} runs functions of Python {options.python}, not {spec.function.python}")
    if not pool.unit.fits(asked):
        raise Rejected(
            f"pool {name}: a worker has {pool.unit.cpus:g} CPUs, {pool.unit.memory_bytes / 2**30:.3g} GiB and "
            f"{pool.unit.gpus:g} {pool.unit.gpu_model or 'GPUs'}, not {asked.cpus:g}, "
            f"{asked.memory_bytes / 2**30:.3g} GiB and {asked.gpus:g} {asked.gpu_model or 'GPUs'}"
        )
