"""How fast jobs are played one by one, against the same model in SimPy in the same run; and ten million of them.

Ten million jobs run in a process of their own, whose memory beyond the workload's columns is reported.
"""

from __future__ import annotations

import multiprocessing
import resource
import time

import numpy as np

from benchmarks.harness import report
from benchmarks.simpy_twin import Twin
from broker.decide.workload import Workload
from simulator.jobs import Result, Rule, Terms, run

LOAD_GPUS = 60.0
RULE = Rule(min_nodes=6, max_nodes=8)


def workload(count: int) -> Workload:
    """Jobs at random whose work is 60 GPUs on average."""
    rng = np.random.default_rng(1)
    duration, gpus = rng.exponential(600.0, count), rng.choice([1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0], count)
    return Workload.of(rng.exponential(600.0 * gpus.mean() / LOAD_GPUS, count).cumsum(), duration, gpus)


def timed(jobs: Workload) -> tuple[Result, float]:
    """A run and its seconds."""
    begun = time.perf_counter()
    found = run(jobs, Terms(), RULE)
    return found, time.perf_counter() - begun


def many(count: int) -> tuple[float, float, int]:
    """Seconds, MiB that the run added, and jobs in flight at most."""
    run(workload(100), Terms(), RULE)
    jobs = workload(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, seconds = timed(jobs)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return seconds, added, found.most_in_flight


def main() -> None:
    """Runs both and reports the ratio."""
    jobs = workload(20_000)
    timed(jobs)
    found, ours = timed(jobs)
    begun = time.perf_counter()
    twin = Twin(jobs, Terms(), RULE)
    twin.run()
    theirs = time.perf_counter() - begun
    if abs(twin.node_gpu_s / 3_600 / found.cluster_gpu_hours - 1) > 1e-9:
        raise SystemExit("SimPy finds another cost: they must be the same")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, added, in_flight = pool.apply(many, (10_000_000,))
    report(
        "jobs one by one",
        {
            "20,000 jobs": f"{ours * 1e3:.1f} ms, {found.events / ours:,.0f} events a second",
            "20,000 jobs in SimPy": f"{theirs:.2f} s, {theirs / ours:.0f} times as long",
            "10,000,000 jobs": f"{seconds:.1f} s, {in_flight} in flight at most, {added:.0f} MiB added",
        },
        {"ours_s": ours, "simpy_s": theirs, "ten_million_s": seconds, "added_mib": added},
    )


if __name__ == "__main__":
    main()
