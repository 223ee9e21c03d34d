"""What the KubeRay operator, the kubelets and Ray do: resources → pods, Ray jobs as processes, statuses, ends."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
import secrets
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.executors.kuberay.server.runs import Run
from tests.executors.kuberay.server.world import Refused, Resource, World, timestamp
from tests.executors.processes import Written

FINALIZER = "ray.io/rayjob-finalizer"
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_NAME = 47
TAIL = 20_000  # bytes of a failed job's log that Ray tells once more


class Operator:
    """Brings about what resources ask for."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        self._tasks: set[asyncio.Task[Any]] = set()
        self._jobs: dict[str, asyncio.Task[None]] = {}  # by the RayJob's uid
        self._addresses = 0
        self.runs: dict[str, Run] = {}  # by Ray's id of the job; they outlive what asked for them
        self._logs: dict[str, Written] = {}  # by the pod's uid

    def start(self) -> None:
        self._spawn(self._watch_clusters())
        self._spawn(self._watch_jobs())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for run in self.runs.values():
            run.kill()

    def log_of(self, pod: Resource) -> Written:
        return self._logs[pod["metadata"]["uid"]]

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # RayClusters

    async def _watch_clusters(self) -> None:
        world, seen = self._world, 0
        while True:
            await world.beyond(seen)
            seen = world.version
            self._lose_orphans()
            for cluster in list(world.kinds["rayclusters"].values()):
                await self._reconcile(cluster)

    def _lose_orphans(self) -> None:
        """What ran in pods that are gone with their RayCluster is gone with them."""
        there = {pod.get("status", {}).get("podIP") for pod in self._world.kinds["pods"].values()}
        for run in self.runs.values():
            if run.address not in there:
                run.kill()

    async def _reconcile(self, cluster: Resource) -> None:
        name, group = cluster["metadata"]["name"], cluster["spec"]["workerGroupSpecs"][0]
        if "deletionTimestamp" in cluster["metadata"]:
            return
        heads, workers = (self._pods_of(name, kind) for kind in ("head", "worker"))
        pods = [*heads, *workers]
        if not heads:
            await self._pod(cluster, "head", cluster["spec"]["headGroupSpec"]["template"])
        for pod in workers:
            if pod["metadata"]["name"] in group.get("scaleStrategy", {}).get("workersToDelete", []):
                await self.lose(pod["metadata"]["name"])
                workers = [one for one in workers if one is not pod]
        for _ in range(group["replicas"] - len(workers)):
            await self._pod(cluster, "worker", group["template"])
        for pod in sorted(workers, key=self._idle)[: max(len(workers) - group["replicas"], 0)]:
            await self.lose(pod["metadata"]["name"])  # any of them: here the worst choice
        if cluster.get("status", {}).get("state") != "ready" and all(is_ready(pod) for pod in pods) and pods:
            await self._world.change("rayclusters", name, status={"state": "ready"})

    def _idle(self, pod: Resource) -> bool:
        address = pod.get("status", {}).get("podIP")
        return not any(run.address == address and run.code is None for run in self.runs.values())

    async def _pod(self, cluster: Resource, kind: str, template: Resource) -> None:
        name, metadata = cluster["metadata"]["name"], template["metadata"]
        owner = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": name, "uid": cluster["metadata"]["uid"]}
        labels = {**metadata["labels"], "ray.io/cluster": name, "ray.io/node-type": kind}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-{kind}-{secrets.token_hex(3)[:5]}",
                "labels": labels,
                "annotations": metadata.get("annotations", {}),
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        made = await self._world.create("pods", pod)
        self._spawn(self._boot(made))

    async def _boot(self, pod: Resource) -> None:
        world, name = self._world, pod["metadata"]["name"]
        await world.until(lambda: not world.faults.no_nodes)
        await asyncio.sleep(world.faults.boot_s)
        self._addresses = number = self._addresses + 1
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
        with suppress(Refused):
            where = {"nodeName": f"node-{number}"}
            await world.change("pods", name, spec=where, status={"conditions": [scheduled]})
            await asyncio.sleep(world.faults.pull_s)
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp()}
            running = {"phase": "Running", "podIP": f"10.0.0.{number}", "conditions": [scheduled, ready]}
            await world.change("pods", name, status=running)

    async def lose(self, name: str) -> None:
        """A pod and its node are gone, and what ran there."""
        pod = self._world.kinds["pods"].get(name)
        if pod is None:
            return
        address = pod.get("status", {}).get("podIP")
        await self._world.delete("pods", name)
        for run in self.runs.values():
            if run.address == address:
                run.kill()

    # RayJobs

    async def _watch_jobs(self) -> None:
        world, seen = self._world, 0
        while True:
            await world.beyond(seen)
            seen = world.version
            for job in list(world.kinds["rayjobs"].values()):
                uid = job["metadata"]["uid"]
                if "deletionTimestamp" in job["metadata"]:
                    await self._deleted(job)
                elif uid not in self._jobs:
                    self._jobs[uid] = self._spawn(self._job(job["metadata"]["name"], uid))

    async def _deleted(self, job: Resource) -> None:
        """Stops the Ray job, if there is one, and lets the RayJob go, whether that has worked or not."""
        metadata, status = job["metadata"], job.get("status", {})
        if (task := self._jobs.pop(metadata["uid"], None)) is not None:
            task.cancel()
        if status.get("jobStatus") not in ("SUCCEEDED", "FAILED", "STOPPED") and (
            run := self.runs.get(status.get("jobId", ""))
        ):
            self._spawn(run.stop(self._stop_wait_s(job)))
        await self._world.remove("rayjobs", metadata["name"], metadata["annotations"]["test/policy"])

    def _stop_wait_s(self, job: Resource) -> float:
        cluster = self._world.kinds["rayclusters"].get(job.get("status", {}).get("rayClusterName", ""))
        if cluster is None:
            return 3.0
        env = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].get("env", [])
        return float(next((one["value"] for one in env if one["name"] == "RAY_JOB_STOP_WAIT_TIME_S"), 3))

    async def _job(self, name: str, uid: str) -> None:
        world = self._world
        job = world.find("rayjobs", name)
        if wrong := invalid(job):
            await self._status(name, uid, jobDeploymentStatus="ValidationFailed", message=wrong)
            return
        job["metadata"]["finalizers"] = [FINALIZER]
        cluster = job["spec"].get("clusterSelector", {}).get("ray.io/cluster") or await self._own_cluster(job)
        ray_id = job["spec"].get("jobId") or f"{name}-{secrets.token_hex(3)}"
        started = {"jobId": ray_id, "rayClusterName": cluster, "jobStatus": "", "jobDeploymentStatus": "Initializing"}
        await self._status(name, uid, **started)
        ready = lambda: world.kinds["rayclusters"].get(cluster, {}).get("status", {}).get("state") == "ready"  # noqa: E731
        await world.until(ready)
        submitter = await self._submitter(job)
        await self._status(name, uid, jobDeploymentStatus="Running")
        self._spawn(self._submit(submitter, job, ray_id))

    async def _own_cluster(self, job: Resource) -> str:
        """The RayCluster that a RayJob brings; it has the RayJob's labels and annotations."""
        metadata = job["metadata"]
        name = f"{metadata['name']}-{secrets.token_hex(3)[:5]}"
        owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": metadata["name"], "uid": metadata["uid"]}
        made = {
            "name": name,
            "labels": metadata["labels"],
            "annotations": metadata["annotations"],
            "ownerReferences": [owner],
        }
        spec = copy.deepcopy(job["spec"]["rayClusterSpec"])
        await self._world.create(
            "rayclusters", {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": made, "spec": spec}
        )
        return name

    async def _status(self, name: str, uid: str, **status: Any) -> None:
        """Says how a RayJob is, if it is there still."""
        known = self._world.kinds["rayjobs"].get(name)
        if known is not None and known["metadata"]["uid"] == uid:
            await self._world.change("rayjobs", name, status=status)

    async def _submitter(self, job: Resource) -> Resource:
        metadata, template = job["metadata"], job["spec"]["submitterPodTemplate"]
        owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": metadata["name"], "uid": metadata["uid"]}
        made = await self._world.create(
            "jobs",
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": metadata["name"], "ownerReferences": [owner]},
                "spec": {"template": template},
            },
        )
        name = f"{metadata['name']}-{secrets.token_hex(3)[:5]}"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": made["metadata"]["uid"]}
        waiting = containers(template["spec"], waiting={"reason": "ContainerCreating"})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner]},
            "spec": template["spec"],
            "status": {"phase": "Pending", "containerStatuses": waiting},
        }
        return await self._world.create("pods", pod)

    async def _submit(self, pod: Resource, job: Resource, ray_id: str) -> None:
        """The submitter's pod: waits for its volumes, submits, and writes what the Ray job writes."""
        world, name, uid = self._world, pod["metadata"]["name"], pod["metadata"]["uid"]
        gone = lambda: world.kinds["pods"].get(name, {}).get("metadata", {}).get("uid") != uid  # noqa: E731
        secret = pod["spec"]["volumes"][0]["secret"]["secretName"]
        await world.until(lambda: gone() or (secret in world.kinds["secrets"] and not world.faults.no_submitters))
        await asyncio.sleep(0)
        if gone():
            return
        log = self._logs[uid] = Written()
        await log.add(b"INFO cli.py:41 -- Job submission server address: http://head-svc:8265\n")
        running = {"phase": "Running", "containerStatuses": containers(pod["spec"], running={})}
        await world.change("pods", name, status=running)
        if ray_id not in self.runs:
            run = self._run(pod, job, ray_id)
            self._spawn(self._ray(run, job))
        following = self._spawn(self._follow(name, uid, log, self.runs[ray_id]))
        ended = self._spawn(world.until(gone))
        await asyncio.wait({following, ended}, return_when=asyncio.FIRST_COMPLETED)
        following.cancel()
        ended.cancel()
        await log.add(b"", closed=True)  # with its pod, a log is gone

    async def _follow(self, pod: str, uid: str, log: Written, run: Run) -> None:
        offset = 0
        while (data := await run.log.beyond(offset)) is not None:
            await log.add(data)
            offset += len(data)
        if run.code:
            await log.add(b"ERR cli.py:74 -- Job failed\nINFO cli.py:89 -- Status message: last available logs:\n")
            await log.add(run.log.data[-TAIL:])
        await log.add(b"", closed=True)
        known = self._world.kinds["pods"].get(pod)
        if known is not None and known["metadata"]["uid"] == uid:
            ended = containers(known["spec"], terminated={"exitCode": 0})
            over = {"phase": "Succeeded", "containerStatuses": ended}
            await self._world.change("pods", pod, status=over)

    def _run(self, pod: Resource, job: Resource, ray_id: str) -> Run:
        """Ray unpacks what the submitter had mounted, on the node with the address that was asked for."""
        folder = self._folder / f"{ray_id}-{secrets.token_hex(3)}"
        (folder / "work").mkdir(parents=True)
        data = self._world.find("secrets", pod["spec"]["volumes"][0]["secret"]["secretName"])["data"]
        env = json.loads(job["spec"]["runtimeEnvYAML"])
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            assert mount["mountPath"] == f"{env['working_dir']}/{mount['subPath']}"
            (folder / "work" / mount["subPath"]).write_bytes(base64.b64decode(data[mount["subPath"]]))
        run = Run(ray_id, folder, job["spec"]["entrypoint"], self._place(job), {"PYTHONPATH": str(folder / "packages")})
        self.runs[ray_id] = run
        return run

    def _place(self, job: Resource) -> str:
        """The address of a node that has the resource which the entrypoint asks for."""
        (wanted,) = json.loads(job["spec"]["entrypointResources"])
        if wanted.startswith("node:"):
            return str(wanted.removeprefix("node:"))
        cluster = self._world.find("rayjobs", job["metadata"]["name"])["status"]["rayClusterName"]
        (group,) = self._world.find("rayclusters", cluster)["spec"]["workerGroupSpecs"]
        (argument,) = shlex.split(group["rayStartParams"]["resources"])  # as the shell in its container reads it
        assert wanted in json.loads(argument)
        return next(pod["status"]["podIP"] for pod in self._pods_of(cluster, "worker"))

    def _pods_of(self, cluster: str, kind: str) -> list[Resource]:
        labels = {"ray.io/cluster": cluster, "ray.io/node-type": kind}
        return list(self._world.select("pods", labels))

    async def _ray(self, run: Run, job: Resource) -> None:
        """One Ray job to its end, and what the operator is told of it."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        packages = json.loads(job["spec"]["runtimeEnvYAML"]).get("pip", [])
        if packages and (said := await self._installed(run, packages)):
            message = f"runtime_env setup failed: Failed to set up runtime environment.\n{said}"
            await self._ended(run, name, uid, "FAILED", message)
            return
        if run.stopped or run.lost:
            await self._ended(run, name, uid, "STOPPED", "")
            return
        await self._status(name, uid, jobStatus="RUNNING")
        await run.run()
        run.end_all()
        if run.stopped:
            await self._ended(run, name, uid, "STOPPED", "Job was intentionally stopped.")
        elif run.lost:
            await self._ended(run, name, uid, "FAILED", "Job supervisor actor died because its node was lost.")
        elif run.code == 0:
            await self._ended(run, name, uid, "SUCCEEDED", "Job finished successfully.")
        else:
            message = f"Job entrypoint command failed with exit code {run.code}, last available logs:\n…"
            await self._ended(run, name, uid, "FAILED", message)

    async def _installed(self, run: Run, packages: list[str]) -> str:
        target = str(run.log and self._folder / f"packages-{run.job}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uv", "pip", "install", "--offline", "--target", target, *packages,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return said.decode() if process.returncode else ""

    async def _ended(self, run: Run, name: str, uid: str, state: str, message: str) -> None:
        await run.log.add(b"", closed=True)
        failed = {"jobDeploymentStatus": "Failed", "reason": "AppFailed"}
        over = failed if state == "FAILED" else {"jobDeploymentStatus": "Complete"}
        await self._status(name, uid, jobStatus=state, message=message, **over)
        await self._shut_down(name, uid)

    async def _shut_down(self, name: str, uid: str) -> None:
        """Ends the RayCluster of a RayJob that brought it, as late as that was asked for."""
        job = self._world.kinds["rayjobs"].get(name)
        if job is None or job["metadata"]["uid"] != uid or not job["spec"].get("shutdownAfterJobFinishes"):
            return
        await asyncio.sleep(self._world.faults.ttl_s or job["spec"].get("ttlSecondsAfterFinished", 0))
        with suppress(Refused):
            await self._world.delete("rayclusters", job["status"]["rayClusterName"])


def containers(pod_spec: Resource, **state: Resource) -> list[Resource]:
    """The statuses of a pod's only container."""
    (one,) = pod_spec["containers"]
    known = {"name": one["name"], "image": one["image"], "imageID": "sha256:0", "restartCount": 0}
    return [{**known, "ready": "running" in state, "started": "running" in state, "state": state}]


def is_ready(pod: Resource) -> bool:
    return bool(pod.get("status", {}).get("podIP"))


def invalid(job: Resource) -> str:
    """What the operator itself finds wrong, once a RayJob is there."""
    name, spec = job["metadata"]["name"], job["spec"]
    if len(name) > LONGEST_NAME or not LABEL.fullmatch(name):
        return f"RayJob name {name} should be a valid DNS1035 label of no more than {LONGEST_NAME} characters"
    if spec.get("shutdownAfterJobFinishes") and spec.get("clusterSelector"):
        return "a RayJob with a clusterSelector can't shut its cluster down"
    if not spec.get("clusterSelector", {}).get("ray.io/cluster") and not spec.get("rayClusterSpec"):
        return "one of RayClusterSpec or ClusterSelector must be set"
    json.loads(spec.get("runtimeEnvYAML") or "{}")
    return ""
