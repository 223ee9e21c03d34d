"""JobSpec ↔ JSON as the store keeps it: written out field by field, with a version.

Not derived from the class: a field added to the model must be added here, and what is stored stays readable.
"""

from __future__ import annotations

import json
from typing import Any, Final

from broker.model.errors import StoreError
from broker.model.jobs import Cause, FunctionCall, JobSpec, RetryPolicy
from broker.model.pools import Isolation
from broker.model.projects import DEFAULT_PROJECT
from broker.model.resources import Gpu, ResourceRequest

VERSION: Final = 1


def dump_spec(spec: JobSpec) -> str:
    """The stored form: the same spec gives the same text."""
    body = {
        "v": VERSION,
        "name": spec.name,
        "run": spec.run,
        "argv": list(spec.argv),
        "function": _function(spec.function),
        "setup": spec.setup,
        "requirements": list(spec.requirements),
        "system_packages": list(spec.system_packages),
        "workdir": spec.workdir,
        "file_mounts": spec.file_mounts,
        **({"volumes": spec.volumes, "volumes_at": spec.volumes_at} if spec.volumes else {}),
        **({"volumes_read_only": list(spec.volumes_read_only)} if spec.volumes_read_only else {}),
        "envs": spec.envs,
        "secrets": list(spec.secrets),
        **({"secret_files": spec.secret_files} if spec.secret_files else {}),
        "image": spec.image,
        "resources": _request(spec.resources),
        "max_duration_s": spec.max_duration_s,
        "checkpoint_every_s": spec.checkpoint_every_s,
        "retry": _retry(spec.retry),
        "deadline_ns": spec.deadline_ns,
        "max_wait_s": spec.max_wait_s,
        "est_runtime_s": spec.est_runtime_s,
        "max_cost_usd": spec.max_cost_usd,
        "array_size": spec.array_size,
        "matrix": {name: list(values) for name, values in spec.matrix.items()},
        "project": spec.project,
        "tags": spec.tags,
        "priority": spec.priority,
        "client_id": spec.client_id,
        "pools_allowed": list(spec.pools_allowed),
        "pools_denied": list(spec.pools_denied),
        "regions": list(spec.regions),
        "isolation": spec.isolation.value,
        "runtime": spec.runtime,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def load_spec(text: str) -> JobSpec:
    """The spec that was stored. Raises StoreError for a version that this broker does not know."""
    body = json.loads(text)
    if body["v"] != VERSION:
        raise StoreError(f"a stored job spec has version {body['v']}, this broker reads {VERSION}: upgrade the broker")
    return JobSpec(
        name=body["name"],
        run=body["run"],
        argv=tuple(body["argv"]),
        function=FunctionCall(**body["function"]) if body["function"] else None,
        setup=body["setup"],
        requirements=tuple(body["requirements"]),
        system_packages=tuple(body.get("system_packages", ())),
        workdir=body["workdir"],
        file_mounts=body["file_mounts"],
        volumes=body.get("volumes", {}),
        volumes_at=body.get("volumes_at", ""),
        volumes_read_only=tuple(body.get("volumes_read_only", ())),
        envs=body["envs"],
        secrets=tuple(body["secrets"]),
        secret_files=body.get("secret_files", {}),
        image=body["image"],
        resources=_load_request(body["resources"]),
        max_duration_s=body["max_duration_s"],
        checkpoint_every_s=body.get("checkpoint_every_s"),
        retry=_load_retry(body["retry"]),
        deadline_ns=body["deadline_ns"],
        max_wait_s=body["max_wait_s"],
        est_runtime_s=body["est_runtime_s"],
        max_cost_usd=body["max_cost_usd"],
        array_size=body["array_size"],
        matrix={name: tuple(values) for name, values in body["matrix"].items()},
        project=body.get("project", DEFAULT_PROJECT),
        tags=body["tags"],
        priority=body["priority"],
        client_id=body["client_id"],
        pools_allowed=tuple(body["pools_allowed"]),
        pools_denied=tuple(body["pools_denied"]),
        regions=tuple(body["regions"]),
        isolation=Isolation(body["isolation"]),
        runtime=body["runtime"],
    )


def _function(call: FunctionCall | None) -> dict[str, Any] | None:
    if call is None:
        return None
    return {"blob": call.blob, "name": call.name, "python": call.python, "inputs": call.inputs}


def _request(request: ResourceRequest) -> dict[str, Any]:
    return {
        "gpu_choices": [{"model": gpu.model, "count": gpu.count} for gpu in request.gpu_choices],
        "gpu_ordered": request.gpu_ordered,
        "cpus": request.cpus,
        "memory_bytes": request.memory_bytes,
        "disk_bytes": request.disk_bytes,
        "num_nodes": request.num_nodes,
        "spot_policy": request.spot_policy,
        "max_hourly_cost": request.max_hourly_cost,
        "extra": request.extra,
    }


def _load_request(body: dict[str, Any]) -> ResourceRequest:
    return ResourceRequest(
        gpu_choices=tuple(Gpu(model=gpu["model"], count=gpu["count"]) for gpu in body["gpu_choices"]),
        gpu_ordered=body["gpu_ordered"],
        cpus=body["cpus"],
        memory_bytes=body["memory_bytes"],
        disk_bytes=body["disk_bytes"],
        num_nodes=body["num_nodes"],
        spot_policy=body["spot_policy"],
        max_hourly_cost=body["max_hourly_cost"],
        extra=body["extra"],
    )


def _retry(policy: RetryPolicy) -> dict[str, Any]:
    return {
        "on": sorted(cause.value for cause in policy.on),
        "max_attempts": policy.max_attempts,
        "backoff_s": policy.backoff_s,
        "max_backoff_s": policy.max_backoff_s,
        "within_s": policy.within_s,
    }


def _load_retry(body: dict[str, Any]) -> RetryPolicy:
    return RetryPolicy(
        on=frozenset(Cause(cause) for cause in body["on"]),
        max_attempts=body["max_attempts"],
        backoff_s=body["backoff_s"],
        max_backoff_s=body["max_backoff_s"],
        within_s=body["within_s"],
    )
