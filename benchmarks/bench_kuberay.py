"""A launch through the KubeRay pool, against the bare client making the same RayJob at the same server of this machine.

Timed until the server has the RayJob, and until its command runs as the submitter's log tells.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from benchmarks.harness import p50, p99, report
from broker.model.jobs import LaunchRequest
from broker.testing.builders import launch_request
from executors.kuberay import KubeRay, names
from executors.kuberay.files import files_of
from tests.executors.kuberay.driving import executor_on, pool_of
from tests.executors.kuberay.server.service import Cluster, kubernetes
from tests.executors.kuberay.server.world import NAMESPACE

WARM_UP, RUNS = 5, 60
GROUP = ("ray.io", "v1", NAMESPACE, "rayjobs")


async def bare(api: Any, pool: KubeRay, request: LaunchRequest) -> None:
    """Makes a RayJob by the Kubernetes client alone, and waits until its submitter says that the command runs."""
    from kubernetes.aio import client, watch

    site = pool._site
    core, custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
    files = files_of(request, 1 << 30, 5.0)
    unit = next(one.unit_id for one in site.nodes.states() if one.ready)
    secret, job = site.nodes.manifests(request, unit, files)
    await core.create_namespaced_secret(NAMESPACE, secret)
    await custom.create_namespaced_custom_object(*GROUP, job)
    selector = f"{names.ATTEMPT}={request.attempt_id}"
    async with watch.Watch() as pods:
        async for event in pods.stream(core.list_namespaced_pod, NAMESPACE, label_selector=selector):
            if event["raw_object"]["status"]["phase"] == "Running":
                break
    name = event["raw_object"]["metadata"]["name"]
    log = await core.read_namespaced_pod_log_without_preload_content(name, NAMESPACE, follow=True)
    while b'"started"' not in await log.content.readline():
        continue
    log.close()


async def tidied(api: Any, request: LaunchRequest) -> None:
    from kubernetes.aio import client

    await client.CustomObjectsApi(api).delete_namespaced_custom_object(*GROUP, request.attempt_id)
    await client.CoreV1Api(api).delete_namespaced_secret(request.attempt_id, NAMESPACE)


async def ours(pool: KubeRay, request: LaunchRequest) -> None:
    """Launches, and waits until the pool reports that the command runs."""
    version = (await pool.poll(0)).version
    await pool.launch(request)
    while True:
        poll = await pool.poll(version, 5.0)
        version = poll.version
        if any(one.attempt_id == request.attempt_id and one.started_ns for one in poll.reports):
            return


async def timed(cluster: Cluster, request: LaunchRequest, work: Awaitable[None]) -> tuple[float, float]:
    """Seconds until the server has the RayJob, and until the command runs."""
    made = asyncio.create_task(cluster.world.until(lambda: request.attempt_id in cluster.world.kinds["rayjobs"]))
    begun = time.perf_counter()
    at: list[float] = []
    made.add_done_callback(lambda _: at.append(time.perf_counter() - begun))
    await work
    running = time.perf_counter() - begun
    await made
    return at[0], running


async def run() -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Takes turns, so that both meet the same machine."""
    from kubernetes.aio import client, config

    with tempfile.TemporaryDirectory() as folder:
        async with kubernetes(Path(folder, "kubernetes")) as cluster:
            configuration = client.Configuration()
            await config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
            pool = executor_on(pool_of(cluster), Path(folder, "state"))
            await pool.open()
            await cluster.world.until(lambda: sum(one.ready for one in pool._site.nodes.states()) == 2)
            mine, theirs = [], []
            async with client.ApiClient(configuration) as api:
                for number in range(WARM_UP + RUNS):
                    other, own = launch_request("sleep 0.1"), launch_request("sleep 0.1")
                    times = await timed(cluster, other, bare(api, pool, other))
                    await tidied(api, other)
                    ours_took = await timed(cluster, own, ours(pool, own))
                    await cluster.world.until(lambda: not cluster.world.kinds["secrets"])
                    if number >= WARM_UP:
                        mine.append(ours_took)
                        theirs.append(times)
            await pool.close(stop=True)
    return mine, theirs


def main() -> None:
    """Reports what a launch takes longer."""
    mine, theirs = asyncio.run(run())
    rows, figures = {}, {}
    for place, what in enumerate(("made", "running")):
        own, other = [one[place] for one in mine], [one[place] for one in theirs]
        more = p50([one - two for one, two in zip(own, other, strict=True)])
        rows[f"broker's pool, {what}"] = f"p50 {p50(own) * 1000:.1f} ms, p99 {p99(own) * 1000:.1f} ms"
        rows[f"bare client, {what}"] = f"p50 {p50(other) * 1000:.1f} ms, p99 {p99(other) * 1000:.1f} ms"
        rows[f"the broker's own, {what}"] = f"p50 {more * 1000:.1f} ms (goal: under 20 ms)"
        figures |= {f"pool_{what}_p50_s": p50(own), f"bare_{what}_p50_s": p50(other), f"own_{what}_p50_s": more}
    report("a RayJob at KubeRay, launched to made and to running", rows, figures)


if __name__ == "__main__":
    main()
