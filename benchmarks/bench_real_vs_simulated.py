"""The same jobs really run on this machine's pools and played in virtual time: how far apart cost and completion are.

A Ray cluster of two nodes and a pool of serverless containers, with emulated GPUs, under the broker that the daemon
runs. Before each workload, what the pools take is measured: cold start, launch, end. The simulation is given these, the
jobs' times and the pools, and decides by the same functions. Nothing of the workload's own run is given to it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import report
from broker.model.jobs import Attempt, Job, JobState
from broker.model.pools import PoolKind
from broker.model.usage import ChargeKind
from broker.ports import Scalable
from broker.run.broker import Broker
from broker.run.build import build_broker
from broker.run.service import Service
from broker.run.settings import load_settings
from simulator.virtual import Lived, Outcome, Site, Timing, Work, play

SEEDS = (1, 2, 3)
JOBS = 120
TRIES = 5
GANGS = 15
RANDOM = np.random.default_rng(0)
ROOM = {"ray": 2, "serverless": 6}  # jobs of two GPUs that there is room for
CONFIG = """
settle_every = "1h"
[pools.ray]
executor = "ray"
kind = "cluster"
cpus = 8
memory = "2GiB"
accelerators = "L4:2"
emulated = true
max_nodes = 2
price = { offer = "aws/ec2/g6.xlarge/us-east-1/on_demand", count = 2 }
[pools.serverless]
executor = "local_serverless"
kind = "serverless"
cpus = 2
memory = "1GiB"
accelerators = "L4:2"
emulated = true
max_containers = 6
scaledown_window = "3s"
cold_start = "50ms"
price = { provider = "modal", product = "functions" }
"""


@dataclass(frozen=True)
class Asked:
    """A job of the workload."""

    at_s: float
    seconds: float
    gpus: int
    nodes: int
    wait_s: float
    pool: str = ""

    def document(self, name: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "name": name,
            "run": f"exec sleep {self.seconds}",
            "resources": {"accelerators": f"L4:{self.gpus}", "cpus": 0.5, "memory": "64MiB"},
            "est_runtime": f"{self.seconds}s",
            "max_wait": f"{self.wait_s}s",
        }
        if self.nodes > 1:
            fields["resources"]["num_nodes"] = self.nodes
        if self.pool:
            fields["placement"] = {"pools": [self.pool]}
        return fields


def workload(seed: int, longer: float) -> list[Asked]:
    """Jobs of a fifth of a second to two, on one GPU, on two, and on both nodes; some may wait. All times `longer`."""
    rng = np.random.default_rng(seed)
    found, at_s = [], 0.0
    for _ in range(JOBS):
        at_s += longer * float(rng.exponential(0.4))
        kind = rng.choice(["one", "two", "gang"], p=[0.65, 0.25, 0.1])
        gpus, nodes = (1, 1) if kind == "one" else (2, 1) if kind == "two" else (2, 2)
        wait_s = 600.0 if kind == "gang" else longer * float(rng.choice([0.0, 20.0]))
        found.append(Asked(at_s, round(longer * float(rng.uniform(0.2, 2.0)), 3), gpus, nodes, wait_s))
    return found


class Real:
    """A running broker, and what was asked of it."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.service = broker, Service(broker, user="benchmark")

    async def submit(self, asked: Asked, name: str) -> str:
        answer = await self.service.submissions.submit(asked.document(name), "benchmark")
        return answer.id

    async def wait(self, job_ids: Sequence[str]) -> list[tuple[Job, Attempt]]:
        for job_id in job_ids:
            while not self.broker.store.job(job_id).state.ended:
                await self.broker.changed(self.broker.version, 5.0)
        found = []
        for job_id in job_ids:
            recorded = await asyncio.to_thread(self.broker.store.recorded, job_id)
            if recorded.job.exit_code != 0:
                raise SystemExit(f"{job_id} did not succeed: {recorded.job.reason}")
            found.append((recorded.job, recorded.attempts[-1]))
        return found

    async def one(self, asked: Asked) -> tuple[Job, Attempt]:
        return (await self.wait([await self.submit(asked, "calibration")]))[0]

    async def settled(self) -> dict[str, int]:
        """Up to when usage is charged, by pool, after it was charged up to now."""
        await self.broker.settle_now()
        return {pool: self.broker.store.watermark(pool) for pool in self.broker.pools}

    def spent(self, pool: str, since_ns: int) -> float:
        """Dollars charged for what was used since a settlement."""
        charges = self.broker.store.charges(pool=pool)
        return sum(float(c.amount.usd) for c in charges if c.amount and c.started_ns >= since_ns)


@asynccontextmanager
async def running() -> AsyncIterator[Real]:
    """A broker of two Ray nodes and serverless containers, that is ended in the end with all that it started."""
    folder = Path(tempfile.mkdtemp(prefix="rv-"))
    os.environ["BROKER_STATE_DIR"] = str(folder)
    (folder / "broker.toml").write_text(CONFIG)
    broker = build_broker(load_settings(folder / "broker.toml"))
    task = asyncio.create_task(broker.run())
    try:
        await broker.ready(lambda line: print(line, file=sys.stderr))
        ray: object = broker.pools["ray"].executor
        assert isinstance(ray, Scalable)
        await ray.scale(2)
        yield Real(broker)
    finally:
        broker.request_stop(drain=False)
        await task
        broker.store.close()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Measured:
    """What a pool takes, in seconds; of several tries, the middle one."""

    launch_s: float
    gather_s: float
    finish_s: float
    run_s: float  # that a command takes beyond what it was asked to
    cold_s: float


async def measured(real: Real, pool: str, window_s: float) -> Measured:
    """Runs jobs alone on a pool whose workers are warm, and more than it has room for, so that one waits."""
    whole = Asked(0, 0.5, 2, 1, 60.0, pool)
    room = ROOM[pool]
    await real.wait([await real.submit(replace(whole, gpus=1), "calibration") for _ in range(room * 2)])
    await asyncio.sleep(window_s + 1.0)
    cold = await real.one(whole)
    warm = [await real.one(whole) for _ in range(TRIES)]
    launch_s = statistics.median(starts_s(warm))
    gangs = [await gang(real, whole) for _ in range(GANGS)] if pool == "ray" else warm
    gaps = [await gap_s(real, whole, room + 1) for _ in range(TRIES)]
    ran_s = [((attempt.ended_ns or 0) - (attempt.started_ns or 0)) / 1e9 for _, attempt in warm]
    return Measured(
        launch_s=launch_s,
        gather_s=statistics.mean(starts_s(gangs)) - launch_s,
        finish_s=max(statistics.median(gaps) - launch_s, 0.0),
        run_s=statistics.median(ran_s) - whole.seconds,
        cold_s=max(starts_s([cold])[0] - launch_s, 0.0) if pool == "serverless" else 0.0,
    )


async def gang(real: Real, asked: Asked) -> tuple[Job, Attempt]:
    """A job on both nodes, which another has just left: at no certain time, since Ray looks for room now and then."""
    await real.one(replace(asked, seconds=float(RANDOM.uniform(0.2, 1.2))))
    return await real.one(replace(asked, nodes=2))


async def gap_s(real: Real, asked: Asked, count: int) -> float:
    """From the first end of jobs that take all room to the start of one that waited for it."""
    pairs = await real.wait([await real.submit(asked, "calibration") for _ in range(count)])
    first = min(attempt.ended_ns or 0 for _, attempt in pairs)
    return (max(attempt.started_ns or 0 for _, attempt in pairs) - first) / 1e9


def starts_s(pairs: Sequence[tuple[Job, Attempt]]) -> list[float]:
    return [((attempt.started_ns or 0) - job.submitted_ns) / 1e9 for job, attempt in pairs]


@dataclass(frozen=True)
class Ran:
    """What really happened."""

    jobs: list[tuple[Job, Attempt]]
    usd: dict[str, float]
    began_ns: int


async def really(real: Real, jobs: Sequence[Asked], name: str, window_s: float) -> Ran:
    """Runs the workload; nodes are paid for until the last job has ended, containers until they have."""
    await asyncio.sleep(window_s + 1.0)
    before = await real.settled()
    began_ns, begun = before["ray"], asyncio.get_running_loop().time()
    ids = []
    for number, asked in enumerate(jobs):
        await asyncio.sleep(max(begun + asked.at_s - asyncio.get_running_loop().time(), 0.0))
        ids.append(await real.submit(asked, f"{name}-{number}"))
    pairs = await real.wait(ids)
    await real.settled()
    usd = {"ray": real.spent("ray", before["ray"])}
    await asyncio.sleep(window_s + 1.0)
    await real.settled()
    usd["serverless"] = real.spent("serverless", before["serverless"])
    return Ran(pairs, usd, began_ns)


def simulated(real: Real, jobs: Sequence[Asked], ran: Ran, taken: dict[str, Measured]) -> Outcome:
    """Plays the jobs, submitted when they were, with what was measured before."""
    sites = []
    for name, running_pool in real.broker.pools.items():
        found, pool = taken[name], running_pool.pool
        timing = Timing(launch_s=found.launch_s, gather_s=found.gather_s, finish_s=found.finish_s, oldest_first=True)
        cluster = pool.kind is PoolKind.CLUSTER
        cold_s = pool.cold_start_s if cluster else found.cold_s
        sites.append(Site(pool=replace(pool, cold_start_s=cold_s), timing=timing, nodes=2 if cluster else 0))
    extra_s = statistics.mean(found.run_s for found in taken.values())
    works = [
        Work(job=replace(job, state=JobState.QUEUED, attempts=0, started_ns=None), seconds=asked.seconds + extra_s)
        for asked, (job, _) in zip(jobs, ran.jobs, strict=True)
    ]
    return play(works, sites, began_ns=ran.began_ns)


def completion_s(job: Job) -> float:
    return ((job.ended_ns or 0) - job.submitted_ns) / 1e9


def simulated_usd(outcome: Outcome, pool: str) -> float:
    """Dollars of a pool; without what is added when a node ends: the real ones have not ended yet."""
    left_out = ChargeKind.ROUNDING if pool == "ray" else None
    return sum(float(usd.usd) for (where, kind), usd in outcome.spent.items() if where == pool and kind != left_out)


def compared(ran: Ran, outcome: Outcome) -> dict[str, float]:
    """How far the simulation is off, relative to what really happened."""
    by_id: dict[str, Lived] = {lived.job.id: lived for lived in outcome.jobs}
    real = np.array([completion_s(job) for job, _ in ran.jobs])
    ours = np.array([completion_s(by_id[job.id].job) for job, _ in ran.jobs])
    same = [attempt.pool == by_id[job.id].pool for job, attempt in ran.jobs]
    last = max(job.ended_ns or 0 for job, _ in ran.jobs) - ran.began_ns
    usd = {"ray": simulated_usd(outcome, "ray"), "serverless": simulated_usd(outcome, "serverless")}
    return {
        "cost": sum(usd.values()) / sum(ran.usd.values()) - 1,
        "cost_ray": usd["ray"] / ran.usd["ray"] - 1,
        "cost_serverless": usd["serverless"] / ran.usd["serverless"] - 1 if ran.usd["serverless"] else 0.0,
        "completion_mean": float(ours.mean() / real.mean() - 1),
        "completion_median_job": float(np.median(np.abs(ours / real - 1))),
        "end": (outcome.ended_ns - ran.began_ns) / last - 1,
        "same_pool": float(np.mean(same)),
    }


async def run(longer: float) -> list[dict[str, float]]:
    """All seeds, one after the other on the same pools."""
    found = []
    async with running() as real:
        window_s = real.broker.pools["serverless"].pool.scaledown_window_s
        for seed in SEEDS:
            taken = {name: await measured(real, name, window_s) for name in real.broker.pools}
            print(taken, file=sys.stderr)
            jobs = workload(seed, longer)
            ran = await really(real, jobs, f"w{seed}", window_s)
            found.append(compared(ran, simulated(real, jobs, ran, taken)))
    return found


def main() -> None:
    """Reports how far both are apart. One argument: how many times as long all is, default 1."""
    found = asyncio.run(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
    rows = {
        f"workload {seed}": ", ".join(f"{name} {value:+.1%}" for name, value in one.items())
        for seed, one in zip(SEEDS, found, strict=True)
    }
    worst = {name: max(abs(one[name]) for one in found) for name in found[0] if name != "same_pool"}
    rows["the most"] = ", ".join(f"{name} {value:.1%}" for name, value in worst.items())
    report("real runs and their simulation", rows, worst)


if __name__ == "__main__":
    main()
