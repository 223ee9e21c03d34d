"""The serverless pool on this machine: cold commands, warm functions and many short jobs → times, beside alternatives.

`python benchmarks/bench_serverless.py [--repeat N] [--jobs N]` prints a table and, as its last line, the same as JSON.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import cloudpickle

from broker.model.errors import NoCapacity
from broker.model.jobs import AttemptReport, AttemptState, FunctionCall, LaunchRequest
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.executor_watch import SystemClock
from executors.local_serverless import LocalServerless

CONTAINERS = 2
BETWEEN_S = 0.3  # jobs out of the blue: what the pool prepares after one is there before the next
HELD = Resources(cpus=2, memory_bytes=GIB // 4)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@asynccontextmanager
async def pool(window_s: float, **options: Any) -> AsyncIterator[LocalServerless]:
    """An open pool with a new state folder, ended and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    config = builders.pool(
        "bench", executor="local_serverless", max_units=CONTAINERS, scaledown_window_s=window_s, options=options
    )
    executor = LocalServerless(ExecutorContext(pool=config, state_dir=folder, clock=SystemClock()))
    try:
        await executor.open()
        yield executor
    finally:
        await executor.close(stop=True)
        shutil.rmtree(folder, ignore_errors=True)


async def until(executor: LocalServerless, attempt_id: str, wanted: Callable[[AttemptReport], bool]) -> AttemptReport:
    """The first report of an attempt that is as wanted."""
    version = 0
    while True:
        poll = await executor.poll(version, 10.0)
        version = poll.version
        for report in poll.reports:
            if report.attempt_id == attempt_id and wanted(report):
                return report


def has_run(report: AttemptReport) -> bool:
    """Whether its command has begun. Raises when it never will."""
    if report.state.ended and report.started_ns is None:
        raise RuntimeError(f"{report.attempt_id} did not start: {report.reason}")
    return report.started_ns is not None


async def seconds_to_running(executor: LocalServerless, make: Callable[[], LaunchRequest]) -> float:
    """From the launch until it is known to run, with no container up before or after."""
    await asyncio.sleep(BETWEEN_S)
    request = make()
    began = time.perf_counter()
    await executor.launch(request)
    await until(executor, request.attempt_id, has_run)
    took = time.perf_counter() - began
    await until(executor, request.attempt_id, lambda report: report.state.ended)
    await executor.forget([request.attempt_id])
    while (await executor.capacity()).units:
        await asyncio.sleep(0.01)
    return took


def command_request() -> LaunchRequest:
    """A command that does nothing."""
    return builders.launch_request("true", resources=HELD)


def call_request() -> LaunchRequest:
    """A call that does next to nothing."""
    call = FunctionCall(blob="0" * 64, name="abs", python=PYTHON)
    return builders.launch_request(resources=HELD, function=call, function_payload=cloudpickle.dumps((abs, (-1,), {})))


async def seconds_to_value(executor: LocalServerless) -> float:
    """From the launch of a function until its value is in hand."""
    request = call_request()
    began = time.perf_counter()
    await executor.launch(request)
    await until(executor, request.attempt_id, lambda report: report.state.ended)
    result = await executor.result(request.attempt_id)
    took = time.perf_counter() - began
    if result is None or cloudpickle.loads(result) != ("value", 1):
        raise RuntimeError(f"{request.attempt_id} did not return 1")
    await executor.forget([request.attempt_id])
    return took


async def many_jobs(executor: LocalServerless, jobs: int) -> float:
    """Jobs of `true` finished per second, launched as the pool has room."""
    began = time.perf_counter()
    version, ended, wanted = 0, 0, [command_request() for _ in range(jobs)]
    while ended < jobs:
        with suppress(NoCapacity):
            while wanted:
                await executor.launch(wanted[-1])
                wanted.pop()
        poll = await executor.poll(version, 5.0)
        version = poll.version
        over = [report for report in poll.reports if report.state.ended]
        if bad := [report for report in over if report.state is not AttemptState.SUCCEEDED]:
            raise RuntimeError(f"{bad[0].attempt_id} ended {bad[0].state}: {bad[0].reason}")
        ended += len(over)
        await executor.forget([report.attempt_id for report in over])
    return jobs / (time.perf_counter() - began)


def seconds_of_venv() -> float:
    """A fresh `uv venv`, and `python -c pass` in it."""
    folder = tempfile.mkdtemp(prefix="bench-")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "uv", "venv", "--quiet", f"{folder}/venv"], check=True)
    subprocess.run([f"{folder}/venv/bin/python", "-c", "pass"], check=True)
    took = time.perf_counter() - began
    shutil.rmtree(folder)
    return took


async def raw_jobs(jobs: int) -> float:
    """`bash -c true` started by asyncio without any pool, as many at once as the pool has containers."""
    left = iter(range(jobs))

    async def work() -> None:
        for _ in left:
            process = await asyncio.create_subprocess_exec("bash", "-c", "true")
            await process.wait()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONTAINERS)))
    return jobs / (time.perf_counter() - began)


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return {"p50_ms": round(statistics.median(seconds) * 1e3, 1), "p99_ms": round(p99 * 1e3, 1)}


async def measure(repeat: int, jobs: int) -> dict[str, Any]:
    """All figures, by name."""
    figures: dict[str, Any] = {"venv": spread([seconds_of_venv() for _ in range(repeat)])}
    async with pool(window_s=0.0) as executor:
        for name, make in (("cold_command", command_request), ("cold_function", call_request)):
            await seconds_to_running(executor, make)
            figures[name] = spread([await seconds_to_running(executor, make) for _ in range(repeat)])
        figures["isolation"] = (await executor.capacity()).note
    async with pool(window_s=0.0, prepared=0) as executor:
        await seconds_to_running(executor, command_request)
        times = [await seconds_to_running(executor, command_request) for _ in range(repeat)]
        figures["unprepared_command"] = spread(times)
    async with pool(window_s=60.0) as executor:
        await seconds_to_value(executor)
        figures["warm_function"] = spread([await seconds_to_value(executor) for _ in range(repeat)])
    async with pool(window_s=60.0) as executor:
        figures["jobs_per_s"] = round(await many_jobs(executor, jobs), 1)
    figures["raw_jobs_per_s"] = round(await raw_jobs(jobs), 1)
    return figures


def show(figures: dict[str, Any], jobs: int) -> None:
    """Prints the table."""
    print(f"isolation: {figures['isolation']}; {CONTAINERS} containers")
    print(f"{'':50}{'p50 ms':>10}{'p99 ms':>10}{'× venv':>10}")
    rows = {
        "venv": "uv venv + python -c pass",
        "cold_command": "command from zero containers, launch → running",
        "unprepared_command": "the same with no sandbox prepared",
        "cold_function": "function from zero containers, launch → running",
        "warm_function": "function in a warm container, launch → value",
    }
    for name, title in rows.items():
        ratio = figures["venv"]["p50_ms"] / figures[name]["p50_ms"]
        print(f"{title:50}{figures[name]['p50_ms']:10}{figures[name]['p99_ms']:10}{ratio:10.1f}")
    share = figures["jobs_per_s"] / figures["raw_jobs_per_s"]
    print(f"{f'{jobs} jobs of `true`, a second':50}{figures['jobs_per_s']:10}")
    print(f"{'the same, raw subprocesses':50}{figures['raw_jobs_per_s']:10}{'':10}{share:10.2f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=50, help="samples of each time")
    parser.add_argument("--jobs", type=int, default=1_000, help="short jobs")
    asked = parser.parse_args()
    figures = asyncio.run(measure(asked.repeat, asked.jobs))
    show(figures, asked.jobs)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
