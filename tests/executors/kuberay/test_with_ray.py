"""What Ray itself makes of what a submitter sends it: a real cluster on this machine, and KubeRay's own commands."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker.model.jobs import LaunchRequest
from broker.model.pools import PoolKind
from broker.model.resources import GIB, Resources
from broker.testing import builders
from broker.testing.builders import launch_request
from broker.testing.executor_watch import PATIENCE_S
from executors.kuberay.files import files_of
from executors.kuberay.job_log import JobLog
from executors.kuberay.manifests import PLACE, Manifests
from executors.kuberay.options import Options
from executors.ray_cluster.local_nodes import NODE_IP, LocalCluster, start_head
from executors.remote.lines import Frame
from executors.remote.output import Copy

UNIT = Resources(cpus=2.0, memory_bytes=2 * GIB)
POOL = builders.pool("vpc", kind=PoolKind.CLUSTER, unit=UNIT, options={"image": "x", "grace_s": 2.0})
RAY = str(Path(sys.executable).with_name("ray"))
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Submitter:
    """What the submitter's pod of a RayJob does, by the commands that KubeRay gives it."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        waits = {"RAY_JOB_STOP_WAIT_TIME_S": "40"}
        self._env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), **cluster.environment, **waits}
        self.frames: list[Frame] = []

    async def _ray(self, *words: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            RAY, "job", *words, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        return said

    async def submit(self, request: LaunchRequest) -> str:
        """Sends the files that were mounted, on to the node that the RayJob names."""
        files = files_of(request, 1 << 30, 2.0)
        mounted = self._folder / request.attempt_id
        mounted.mkdir()
        for name, content in files.items():
            (mounted / name).write_bytes(content)
        spec = Manifests(POOL, Options.of("vpc", POOL.options), "abc").ray_job(request, NODE_IP, files)["spec"]
        env = spec["runtimeEnvYAML"].replace(PLACE, str(mounted))
        said = await self._ray(
            "submit", "--address", self._cluster.dashboard, "--no-wait", "--submission-id", spec["jobId"],
            "--runtime-env-json", env, "--entrypoint-num-cpus", str(spec["entrypointNumCpus"]),
            "--entrypoint-resources", spec["entrypointResources"], "--", *spec["entrypoint"].split(),
        )  # fmt: skip
        assert b"submitted successfully" in said, said.decode()
        return str(spec["jobId"])

    async def log(self, job: str) -> bytes:
        return await self._ray("logs", "--address", self._cluster.dashboard, "--follow", job)

    async def stop(self, job: str) -> None:
        await self._ray("stop", "--address", self._cluster.dashboard, "--no-wait", job)

    def read(self, log: bytes) -> tuple[bytes, bytes, list[dict[str, Any]]]:
        """Both streams, and what the agent told."""
        frames: list[Frame] = []
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        copies = {name: Copy(folder / name, frames.append) for name in ("stdout", "stderr")}
        reading: Any = JobLog(None, None, "job", copies)  # type: ignore[arg-type]
        for line in log.split(b"\n")[:-1]:
            reading._take(line.decode(errors="replace"))
        for copy in copies.values():
            copy.close()
            assert not copy.lost
        out, err = ((folder / name).read_bytes() if (folder / name).exists() else b"" for name in copies)
        return out, err, frames


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def submitter() -> AsyncIterator[Submitter]:
    folder = Path(tempfile.mkdtemp(prefix="bkr-"))
    os.environ["RAY_JOB_STOP_WAIT_TIME_S"] = "40"
    cluster = await start_head(POOL, folder, 100_000_000)
    del os.environ["RAY_JOB_STOP_WAIT_TIME_S"]
    try:
        yield Submitter(cluster, folder)
    finally:
        await asyncio.to_thread(cluster.end)
        shutil.rmtree(folder, ignore_errors=True)


async def test_output_and_exit_code_come_through_rays_log_byte_by_byte(submitter: Submitter, tmp_path: Path) -> None:
    """Lines longer than Ray's and a kubelet's pieces, returns, bytes that are no text, and two streams."""
    (tmp_path / "in.txt").write_text("from the workdir\n")
    script = r"cat in.txt; printf 'a\r\nb\377\000c\rd'; printf 'é%.0s' $(seq 50000); echo; echo problem >&2; exit 3"
    request = launch_request(script, workdir=str(tmp_path), envs={"A": "1"})
    job = await submitter.submit(request)
    out, err, frames = submitter.read(await submitter.log(job))
    assert out == b"from the workdir\na\r\nb\xff\x00c\rd" + "é".encode() * 50_000 + b"\n"
    assert err == b"problem\n"
    assert {"ready", "started", "end"} <= {frame["kind"] for frame in frames}
    assert (frames[-1]["state"], frames[-1]["exit_code"]) == ("failed", 3)


async def test_one_that_ray_stops_may_tidy_up(submitter: Submitter, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    request = launch_request(f"trap 'echo tidied; exit 7' TERM; echo on; touch {begun}; while :; do sleep 0.05; done")
    job = await submitter.submit(request)
    following = asyncio.create_task(submitter.log(job))
    async with asyncio.timeout(PATIENCE_S):
        while not begun.exists():
            await asyncio.sleep(0.05)
    await submitter.stop(job)
    out, _, frames = submitter.read(await following)
    assert out == b"on\ntidied\n"
    # Ray's SIGTERM reaches the command as soon as the agent: which of them is first says what its end is called here.
    assert (frames[-1]["state"], frames[-1]["exit_code"]) in (("cancelled", 7), ("failed", 7))
