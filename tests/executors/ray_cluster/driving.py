"""How these tests drive a pool: requests in one call, and waiting for what a pool reports."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from broker.model.errors import Unreachable
from broker.model.jobs import AttemptReport, AttemptState, FunctionCall, JobSpec, LaunchRequest
from broker.model.pools import Pool, PoolKind
from broker.model.resources import GIB, ResourceRequest, Resources
from broker.ports import ExecutorContext, Stream
from broker.testing.executor_watch import PATIENCE_S
from executors.ray_cluster import RayCluster

NODE = Resources(cpus=2, memory_bytes=2 * GIB, gpus=2, gpu_model="L4")
SMALL = Resources(cpus=0.2, memory_bytes=GIB // 8)
MAX_STREAM_BYTES = 10_000_000
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
_numbers = itertools.count()


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()


def context(state_dir: Path, **options: Any) -> ExecutorContext:
    pool = Pool(
        name="ray",
        kind=PoolKind.CLUSTER,
        executor="ray",
        unit=NODE,
        max_units=2,
        gpu_models=("L4",),
        emulated=True,
        options=options,
    )
    return ExecutorContext(
        pool=pool,
        state_dir=state_dir,
        clock=SystemClock(),
        max_stream_bytes=MAX_STREAM_BYTES,
        volumes=str(state_dir / "volumes"),
    )


def kill_worker_of(attempt_id: str) -> None:
    """Kills the Ray worker that runs an attempt: the parent of its command."""
    mark = f"BROKER_ATTEMPT_ID={attempt_id}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mine = mark in (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if mine and b"ray::" in Path(f"/proc/{parent}/cmdline").read_bytes():
                os.kill(parent, signal.SIGKILL)
                return
        except OSError:
            continue
    raise AssertionError(f"no worker runs {attempt_id}")


def request(run: str | None = None, *, envs: dict[str, str] | None = None, held: Resources = SMALL, **more: Any):
    attempt_id = more.pop("attempt_id", None) or f"job{next(_numbers)}-a1"
    secret_names = more.pop("secret_names", frozenset())
    payload = more.pop("payload", None)
    return LaunchRequest(
        attempt_id=attempt_id,
        job_id=attempt_id.removesuffix("-a1"),
        spec=JobSpec(name="test", run=run, **more),
        resources=held,
        envs={**(envs or {}), "BROKER_ATTEMPT_ID": attempt_id},
        secret_names=secret_names,
        function_payload=payload,
    )


def call(function: Callable[..., Any], *args: Any, **more: Any) -> LaunchRequest:
    spec = FunctionCall(blob="0" * 64, name=function.__name__, python=HERE)
    return request(function=spec, payload=cloudpickle.dumps((function, args, {})), **more)


def gang(run: str, nodes: int, **more: Any) -> LaunchRequest:
    return request(run, resources=ResourceRequest(num_nodes=nodes), **more)


class Driver:
    """An executor and the newest report of each attempt, with all states that were reported before it."""

    def __init__(self, executor: RayCluster, state_dir: Path) -> None:
        self.executor = executor
        self.state_dir = state_dir
        self.reports: dict[str, AttemptReport] = {}
        self.states: dict[str, list[AttemptState]] = {}
        self._version = 0

    async def reopened(self, limit_s: float = PATIENCE_S) -> None:
        """As the broker does when a pool does not answer: opens it again until it does."""
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    await self.executor.open()
                    await self.executor.poll(0)
                    self._version = 0
                    return
                except Unreachable:
                    await asyncio.sleep(0.2)

    async def _poll(self, wait_s: float) -> None:
        try:
            poll = await self.executor.poll(self._version, wait_s)
        except Unreachable:
            return await self.reopened()
        self._version = poll.version
        for report in poll.reports:
            self.reports[report.attempt_id] = report
            self.states.setdefault(report.attempt_id, []).append(report.state)

    async def until(self, attempt_id: str, wanted: Callable[[AttemptReport], bool], limit_s: float = PATIENCE_S):
        """The first report of an attempt that is as wanted."""
        async with asyncio.timeout(limit_s):
            while attempt_id not in self.reports or not wanted(self.reports[attempt_id]):
                await self._poll(1.0)
        return self.reports[attempt_id]

    async def ended(self, attempt_id: str, limit_s: float = PATIENCE_S) -> AttemptReport:
        return await self.until(attempt_id, lambda report: report.state.ended, limit_s)

    async def running(self, attempt_id: str, limit_s: float = PATIENCE_S) -> AttemptReport:
        return await self.until(attempt_id, lambda report: report.state is AttemptState.RUNNING, limit_s)

    async def run(self, what: LaunchRequest, limit_s: float = PATIENCE_S) -> AttemptReport:
        await self.executor.launch(what)
        return await self.ended(what.attempt_id, limit_s)

    async def clear(self) -> None:
        """Ends what a test left running, so that the next one finds the room free."""
        await self._poll(0.0)
        left = [attempt_id for attempt_id, report in self.reports.items() if not report.state.ended]
        for attempt_id in left:
            await self.executor.cancel(attempt_id, 0.0)
        for attempt_id in left:
            await self.ended(attempt_id)

    async def output(self, attempt_id: str, stream: Stream = "stdout") -> bytes:
        data = b""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                chunk = await self.executor.logs(attempt_id, stream, len(data))
                data += chunk.data
                if chunk.complete:
                    return data

    async def says(self, attempt_id: str, text: bytes, limit_s: float = PATIENCE_S) -> bytes:
        """What it has written, once `text` is in it."""
        async with asyncio.timeout(limit_s):
            while text not in (said := (await self.executor.logs(attempt_id, "stdout")).data):
                await asyncio.sleep(0.05)
        return said


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int, limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while alive(pid):
            await asyncio.sleep(0.05)
