"""Ten thousand that follow one running job: memory for each, how soon a line is everywhere, and who else has to wait.

A real broker on its Unix socket, and the followers in another process: raw connections that read server-sent events.
`bench_followers.py COUNT` takes another number of them. Both processes need that many open files (`ulimit -n`).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from benchmarks.harness import SERVERLESS, broker, p50, p99, report
from broker.sdk.client import Client
from broker.sdk.connect import connect

FOLLOWERS = 10_000
SLOW = 50  # that read nothing, of a job that writes much
LINES = 6
EVERY_S = 10.0  # a line
AT_ONCE = 100  # that connect
SPARE = 200  # files open beside the connections
TRIES = 100  # of a short job
WRITES = f"import os, time\nwhile True: os.write(1, b'at %f\\n' % time.time()); time.sleep({EVERY_S})"
FLOODS = "import time\nfor _ in range(400): print('x' * 99_999)\nprint(flush=True); time.sleep(3600)"


class Followers:
    """Connections that follow one job, and what has come on them."""

    def __init__(self, state: Path, job: str) -> None:
        self._path = str(state / "broker.sock")
        self._job = job
        self._connecting = asyncio.Semaphore(AT_ONCE)
        self.following = 0
        self.ended = 0
        self.lags: list[list[float]] = []  # of each follower, seconds from the writing of a line to its arrival

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One connection that has asked."""
        while True:
            with suppress(BlockingIOError):  # so many wait to be accepted
                reader, writer = await asyncio.open_unix_connection(self._path)
                break
            await asyncio.sleep(0.05)
        writer.write(f"GET /v1/jobs/{self._job}/follow HTTP/1.1\r\nHost: broker\r\n\r\n".encode())
        return reader, writer

    async def follow(self) -> None:
        """Follows to the end of the job."""
        lags: list[float] = []
        self.lags.append(lags)
        async with self._connecting:
            reader, writer = await self.connect()
            await reader.readuntil(b"event: state")
        self.following += 1
        begun = time.time()
        while event := await reader.readuntil(b"\n\n"):
            if b"event: log" in event:
                data = next(line for line in event.split(b"\n") if line.startswith(b"data: "))
                for line in b64decode(json.loads(data[6:])["data"]).splitlines():
                    written = float(line.removeprefix(b"at "))
                    if written > begun:  # later than what a newcomer is told of the past
                        lags.append(time.time() - written)
            if b"event: end" in event:
                break
        self.ended += 1
        writer.close()

    def lost(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Raises what one of them met."""
        for each in tasks:
            if each.done():
                each.result()
        return False


def memory_of(pid: int) -> int:
    """Bytes that a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) << 10


def spent(pid: int) -> float:
    """Seconds of a processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def short_jobs(state: Path) -> list[float]:
    """Seconds from the submission of a short job to its end."""
    client, taken = connect(state), []
    for _ in range(TRIES):
        begun = time.perf_counter()
        client.wait(client.submit({"run": "true"})["id"], timeout_s=60)
        taken.append(time.perf_counter() - begun)
    return taken


async def until(true: Callable[[], bool], patience_s: float) -> None:
    """Waits until it is so."""
    async with asyncio.timeout(patience_s):
        while not true():
            await asyncio.sleep(0.2)


async def slow_ones(client: Client, state: Path, pid: int) -> tuple[float, float]:
    """MiB that the broker grows by for each client that reads nothing of a long output; when all are cut off."""
    job = client.submit({"argv": ["python3", "-c", FLOODS]})["id"]
    await asyncio.to_thread(client.wait, job, timeout_s=3.0)
    before, begun = memory_of(pid), time.perf_counter()
    followers = Followers(state, job)
    opened = [await followers.connect() for _ in range(SLOW)]
    for _, writer in opened:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(20)
    grown = (memory_of(pid) - before) / SLOW / (1 << 20)
    await until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) < SLOW, 120)
    cut_s = time.perf_counter() - begun
    client.cancel(job)
    return grown, cut_s


async def measured(client: Client, state: Path, count: int) -> dict[str, float]:
    """All figures."""
    pid = json.loads((state / "daemon.json").read_text())["pid"]
    job = client.submit({"argv": ["python3", "-c", WRITES]})["id"]
    loop, apart = asyncio.get_running_loop(), ProcessPoolExecutor(1, get_context("spawn"))  # the followers hold this up
    alone = await loop.run_in_executor(apart, short_jobs, state)
    before, begun = memory_of(pid), time.perf_counter()
    followers = Followers(state, job)
    tasks = [asyncio.create_task(followers.follow()) for _ in range(count)]
    await until(lambda: followers.following == count or followers.lost(tasks), 600)
    joined_s, each = time.perf_counter() - begun, (memory_of(pid) - before) / count
    used, since = spent(pid), time.perf_counter()
    crowded = await loop.run_in_executor(apart, short_jobs, state)
    apart.shutdown()
    await until(lambda: min(map(len, followers.lags)) >= LINES or followers.lost(tasks), 600)
    busy = (spent(pid) - used) / (time.perf_counter() - since)
    lags = [lag for each in followers.lags for lag in each]
    ended = time.perf_counter()
    await asyncio.to_thread(client.cancel, job)
    await asyncio.wait_for(asyncio.gather(*tasks), 600)
    ended_s = time.perf_counter() - ended
    grown_mib, cut_s = await slow_ones(client, state, pid)
    return {
        "followers": count,
        "joined_s": joined_s,
        "kib_each": each / 1024,
        "lag_p50_s": p50(lags),
        "lag_p99_s": p99(lags),
        "busy": busy,
        "job_alone_s": p50(alone),
        "job_meanwhile_s": p50(crowded),
        "job_meanwhile_max_s": max(crowded),
        "end_everywhere_s": ended_s,
        "slow_mib_each": grown_mib,
        "slow_cut_s": cut_s,
    }


def main() -> None:
    """Measures and prints."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FOLLOWERS
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + SPARE:
        sys.exit(
            f"{count:,} followers need as many open files, and `ulimit -Hn` is {hard:,}: raise it, or give a COUNT"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with broker(SERVERLESS) as (client, state):
        found = asyncio.run(measured(client, state, count))
    report(
        f"{count:,} followers of one job, a line every {EVERY_S:g} s",
        {
            "joined": f"{found['joined_s']:.1f} s",
            "memory for each": f"{found['kib_each']:.0f} KiB",
            "a line is there": f"p50 {found['lag_p50_s']:.2f} s, p99 {found['lag_p99_s']:.2f} s after it was written",
            "the broker's processor": f"{found['busy']:.0%} of one",
            "a short job alone": f"p50 {found['job_alone_s'] * 1000:.0f} ms",
            "a short job meanwhile": (
                f"p50 {found['job_meanwhile_s'] * 1000:.0f} ms, at most {found['job_meanwhile_max_s'] * 1000:.0f} ms"
            ),
            "the end is everywhere": f"{found['end_everywhere_s']:.1f} s after it was asked for",
            "a client that reads nothing": (
                f"{found['slow_mib_each']:.2f} MiB, cut off after {found['slow_cut_s']:.0f} s"
            ),
        },
        found,
    )


if __name__ == "__main__":
    main()
