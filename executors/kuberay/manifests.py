"""A pool → its RayCluster; an attempt → its RayJob, with a RayCluster of its own or without, and its Secret."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from broker.model.jobs import CHECKPOINT_GRACE_S, LaunchRequest
from broker.model.pools import Pool
from broker.model.resources import GIB, Resources
from executors.kuberay import names
from executors.kuberay.options import Options
from executors.remote.bundle import VOLUMES

Manifest = dict[str, Any]

GROUP: Final = "workers"
PLACE: Final = "/broker/job"  # where a submitter finds what it sends to the Ray cluster
MARK: Final = "broker_worker"  # a resource that Ray knows of each worker of an attempt's own RayCluster
RAY_BYTES: Final = GIB  # of memory, that Ray itself needs in a worker
KEPT_S: Final = 60  # that such a RayCluster is kept after its job, for a broker that is away
MOST_GRACE_S: Final = 600.0  # that a cancel may allow an attempt in a RayCluster of its own
_SPARE_S: Final = 10  # beyond the longest grace of a command, after which Ray kills what its agent has not ended
_SUBMITTER: Final = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Of:
    """Whose a RayCluster is: what all of its pods carry."""

    annotations: Mapping[str, str] = field(default_factory=dict)
    stop_s: float  # that Ray waits for a job to end before it kills


class Manifests:
    """Resources of one pool of one broker."""

    def __init__(self, pool: Pool, options: Options, owner: str) -> None:
        self._pool, self._options = pool, options
        self.cluster = options.cluster_of(pool.name)
        self.namespace = options.namespace
        self.mine = {names.POOL: self.cluster, names.OWNER: owner}  # what all of them are found by
        self.head = Resources(cpus=options.head_cpus, memory_bytes=round(options.head_memory_gib * GIB))

    def ray_cluster(self, workers: int) -> Manifest:
        """The pool's RayCluster with so many workers. Its head runs none of the attempts."""
        of = _Of(stop_s=kill_after_s(self._options))
        group = self._worker_group(workers, self._pool.unit, of)
        spec = self._cluster_spec(group | {"minReplicas": 0, "maxReplicas": self._pool.max_units}, of)
        manifest = self._manifest("RayCluster", self.cluster, self._queue, spec)
        manifest["metadata"]["annotations"] = {names.SETTINGS: _hash(self._with_workers(spec, 0))}
        return manifest

    @property
    def _queue(self) -> dict[str, str]:
        """Kueue's label of what it has to admit."""
        return {names.QUEUE: self._options.queue} if self._options.queue else {}

    def _cluster_spec(self, group: Manifest, of: _Of) -> Manifest:
        """A head that runs no attempts, and one group of workers."""
        head = {"cpu": f"{self.head.cpus:g}", "memory": str(self.head.memory_bytes)}
        template = self._template("ray-head", head, self._options.head_pod, of)
        spec = {
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
                "template": template,
            },
            "workerGroupSpecs": [group],
        }
        if self._options.ray_version:
            spec["rayVersion"] = self._options.ray_version
        return spec

    def _worker_group(self, workers: int, unit: Resources, of: _Of) -> Manifest:
        placed = {"nodeSelector": self._options.node_selector, "tolerations": self._options.tolerations}
        pod = {name: value for name, value in placed.items() if value} | self._options.worker_pod
        pod = _merged(self._volumes(), pod)
        emulated = {"num-gpus": f"{unit.gpus:g}"} if self._pool.emulated and unit.gpus else {}
        return {
            "groupName": GROUP,
            "replicas": workers,
            "rayStartParams": emulated,
            "template": self._template("ray-worker", self._quantities(unit), pod, of),
        }

    def _volumes(self) -> Manifest:
        """The claim that has the pool's volumes, each a folder of it, in its workers."""
        if not self._pool.volumes:
            return {}
        claim = {"name": "broker-volumes", "persistentVolumeClaim": {"claimName": self._pool.volumes}}
        mount = {"name": "broker-volumes", "mountPath": VOLUMES}
        return {"volumes": [claim], "containers": [{"name": "ray-worker", "volumeMounts": [mount]}]}

    @staticmethod
    def _with_workers(spec: Manifest, workers: int) -> Manifest:
        return spec | {"workerGroupSpecs": [group | {"replicas": workers} for group in spec["workerGroupSpecs"]]}

    def _quantities(self, unit: Resources) -> dict[str, str]:
        """What a worker is given, as Kubernetes writes it; as request and as limit."""
        found = {"cpu": f"{unit.cpus:g}", "memory": str(unit.memory_bytes)}
        if unit.gpus and not self._pool.emulated:
            found[self._options.gpu_resource] = f"{unit.gpus:g}"
        if unit.disk_bytes:
            found["ephemeral-storage"] = str(unit.disk_bytes)
        return found

    def _template(self, container: str, has: dict[str, str], pod: Manifest, of: _Of) -> Manifest:
        """A pod of the cluster. Ray waits longer than any command's grace before it kills."""
        wait = {"name": "RAY_JOB_STOP_WAIT_TIME_S", "value": f"{of.stop_s:g}"}
        plain: Manifest = {"name": container, "image": self._options.image, "env": [wait]}
        plain["resources"] = {"requests": has, "limits": has}
        metadata: Manifest = {"labels": {**self._options.labels, **self.mine}}
        if of.annotations:
            metadata["annotations"] = dict(of.annotations)
        return {"metadata": metadata, "spec": _merged(self._pod_spec([plain]), pod)}

    def _pod_spec(self, containers: list[Manifest]) -> Manifest:
        spec: Manifest = {"containers": containers}
        if self._options.service_account:
            spec["serviceAccountName"] = self._options.service_account
        if self._options.priority_class:
            spec["priorityClassName"] = self._options.priority_class
        if self._options.image_pull_secrets:
            spec["imagePullSecrets"] = [{"name": name} for name in self._options.image_pull_secrets]
        return spec

    def ray_job(self, request: LaunchRequest, address: str, files: Mapping[str, bytes]) -> Manifest:
        """The attempt's RayJob, on the worker with this address. No value of a secret is in it."""
        where = {"clusterSelector": {names.CLUSTER: self.cluster}, "shutdownAfterJobFinishes": False}
        return self._job(request, f"node:{address}", where, files, {})

    def own_ray_job(self, request: LaunchRequest, files: Mapping[str, bytes]) -> Manifest:
        """The attempt's RayJob with a RayCluster of its own, which ends with it even if the broker is gone."""
        stop_s = max(kill_after_s(self._options), MOST_GRACE_S + _SPARE_S)
        of = _Of(annotations={names.ATTEMPT_ID: request.attempt_id}, stop_s=stop_s)
        nodes = request.spec.resources.num_nodes
        group = self._worker_group(nodes, self.worker(request.resources), of) | {
            "minReplicas": nodes,
            "maxReplicas": nodes,
        }
        group["rayStartParams"] = {**group["rayStartParams"], "resources": _ray_resources({MARK: 1})}
        where = {
            "rayClusterSpec": self._cluster_spec(group, of),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEPT_S,
        }
        return self._job(request, MARK, where, files, self._queue)

    def worker(self, held: Resources) -> Resources:
        """What a worker of an attempt's own RayCluster has: what the attempt holds, and memory for Ray beside it."""
        return self._pool.container(held, RAY_BYTES)

    def _job(
        self,
        request: LaunchRequest,
        worker: str,
        where: Manifest,
        files: Mapping[str, bytes],
        labels: Mapping[str, str],
    ) -> Manifest:
        """A RayJob whose entrypoint runs where Ray has the resource `worker`."""
        name = names.resource_name(request.attempt_id)
        spec = {
            **where,
            "submissionMode": "K8sJobMode",
            "jobId": name,  # a submitter that is started again finds what the first one submitted
            "entrypoint": "exec python3 entry.py",
            "entrypointResources": json.dumps({worker: 0.0001}),
            "runtimeEnvYAML": self._runtime_env(request),
            "backoffLimit": 0,
            "submitterPodTemplate": self._submitter(name, files),
            **self._share(request),
        }
        manifest = self._manifest("RayJob", name, {names.ATTEMPT: name, **labels}, spec)
        manifest["metadata"]["annotations"] = {names.ATTEMPT_ID: request.attempt_id, names.JOB_ID: request.job_id}
        return manifest

    @staticmethod
    def _share(request: LaunchRequest) -> Manifest:
        """What Ray holds for the command. A Ray program's tasks need what it would hold itself."""
        if request.spec.runtime == "ray":
            return {}
        asked = {"entrypointNumCpus": request.resources.cpus, "entrypointNumGpus": request.resources.gpus}
        return {name: value for name, value in asked.items() if value}

    def _runtime_env(self, request: LaunchRequest) -> str:
        env: Manifest = {"working_dir": PLACE}
        if packages := [*self._options.pip, *request.spec.requirements]:
            env["pip"] = packages
        return json.dumps(env)

    def _submitter(self, name: str, files: Mapping[str, bytes]) -> Manifest:
        """The pod that sends the attempt's files to the Ray cluster, and whose log is what the attempt writes."""
        mounts = [{"name": "job", "mountPath": f"{PLACE}/{file}", "subPath": file} for file in sorted(files)]
        submit = {
            "name": "submit",
            "image": self._options.image,
            "env": [{"name": "LANG", "value": "C.UTF-8"}],
            "resources": _SUBMITTER,
            "volumeMounts": mounts,
        }
        spec = self._pod_spec([submit]) | {"restartPolicy": "Never"}
        spec["volumes"] = [{"name": "job", "secret": {"secretName": name}}]
        return {
            "metadata": {"labels": {**self._options.labels, **self.mine, names.ATTEMPT: name}},
            "spec": _merged(spec, self._options.head_pod),
        }

    def secret(self, attempt_id: str, files: Mapping[str, bytes], cluster_uid: str = "") -> Manifest:
        """The Secret of an attempt's RayJob; with the uid of the pool's RayCluster, it does not outlive that."""
        name = names.resource_name(attempt_id)
        metadata: Manifest = {"name": name, "labels": {**self._options.labels, **self.mine, names.ATTEMPT: name}}
        if cluster_uid:
            owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": self.cluster, "uid": cluster_uid}
            metadata["ownerReferences"] = [owner]
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "immutable": True,
            "data": {file: base64.b64encode(content).decode() for file, content in files.items()},
        }

    def _manifest(self, kind: str, name: str, labels: Mapping[str, str], spec: Manifest) -> Manifest:
        every = {**self._options.labels, **self.mine, **labels}
        return {
            "apiVersion": "ray.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self._options.namespace, "labels": every},
            "spec": spec,
        }


def kill_after_s(options: Options) -> int:
    """Seconds after SIGTERM after which Ray kills, in case that an attempt's own agent has not."""
    return round(max(options.grace_s, CHECKPOINT_GRACE_S)) + _SPARE_S


def _ray_resources(amounts: Mapping[str, float]) -> str:
    """Custom resources as an argument of `ray start`, which KubeRay hands to a shell as it is."""
    escaped = json.dumps(amounts).replace('"', r"\"")
    return f'"{escaped}"'


def _merged(plain: Manifest, more: Manifest) -> Manifest:
    """`plain` with what a user says of it: tables are merged, anything else is replaced, but lists of named things.

    Of those, the first container's settings are merged into ours; other containers and volumes are added.
    """
    merged = dict(plain)
    for name, value in more.items():
        ours = plain.get(name)
        if isinstance(ours, dict) and isinstance(value, dict):
            merged[name] = _merged(ours, value)
        elif name == "containers" and isinstance(ours, list) and isinstance(value, list) and value:
            merged[name] = [_merged(ours[0], {**value[0], "name": ours[0]["name"]}), *value[1:]]
        elif name in ("volumes", "volumeMounts", "env") and isinstance(ours, list) and isinstance(value, list):
            merged[name] = [*ours, *value]
        else:
            merged[name] = value
    return merged


def _hash(spec: Manifest) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
