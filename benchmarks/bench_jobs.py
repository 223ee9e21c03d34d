"""How fast jobs are played one by one, against the same model in SimPy in the same run; and ten million of them.

Both play the same events: submissions, ends, boots, looks at idle nodes, ends of patience. Seconds are those of the
processor, so that what else the machine does weighs little; for ten million jobs also those of the clock. These run in
a process of their own, from parts of a million, whose memory beyond the parts is reported.
"""

from __future__ import annotations

import math
import multiprocessing
import resource
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.harness import report
from benchmarks.simpy_twin import Twin
from broker.decide.workload import Workload
from simulator.jobs import Result, Rule, Terms, run, run_parts

LOAD_GPUS = 60.0
PART = 1_000_000
COUNT = 50_000
RULES = {
    "a fixed cluster, no wait": Rule(min_nodes=6, max_nodes=8),
    "a fixed cluster, jobs wait 15 min": Rule(min_nodes=8, max_nodes=8, wait_s=900.0),
    "an autoscaled cluster, jobs wait": Rule(max_nodes=16, wait_s=math.inf),
    "all serverless": Rule(max_nodes=0),
}


def workload(count: int, seed: int = 1, begin_s: float = 0.0) -> Workload:
    """Jobs at random whose work is 60 GPUs on average."""
    rng = np.random.default_rng(seed)
    duration, gpus = rng.exponential(600.0, count), rng.choice([1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0], count)
    gaps = rng.exponential(600.0 * gpus.mean() / LOAD_GPUS, count)
    return Workload.of(begin_s + gaps.cumsum(), duration, gpus)


def parts(count: int) -> Iterator[Workload]:
    """So many jobs, a part at a time."""
    begin_s = 0.0
    for seed in range(count // PART):
        part = workload(PART, seed, begin_s)
        begin_s = float(part.submit_s[-1])
        yield part


def timed(jobs: Workload, rule: Rule) -> tuple[Result, float]:
    """A run and its seconds: the best of three, as is the other program's."""
    best = math.inf
    for _ in range(3):
        begun = time.process_time()
        found = run(jobs, Terms(), rule)
        best = min(best, time.process_time() - begun)
    return found, best


def twin_s(jobs: Workload, rule: Rule, found: Result) -> float:
    """Seconds that SimPy takes for the same. Ends the program where it finds another cost."""
    best = math.inf
    for _ in range(3):
        twin = Twin(jobs, Terms(), rule)
        begun = time.process_time()
        twin.run()
        best = min(best, time.process_time() - begun)
    theirs = twin.node_gpu_s + twin.serverless_gpu_s + twin.tail_gpu_s
    ours = 3_600 * (found.cluster_gpu_hours + found.serverless_gpu_hours + found.tail_gpu_hours)
    if abs(theirs / ours - 1) > 1e-9:
        raise SystemExit("SimPy finds another cost: they must be the same")
    return best


def many(count: int) -> tuple[float, float, float, int]:
    """Seconds by the clock and of the processor, MiB added beyond the first part's, and jobs in flight at most."""
    rule = RULES["a fixed cluster, jobs wait 15 min"]
    run_parts(parts(2 * PART), Terms(), rule)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, worked = time.perf_counter(), time.process_time()
    found = run_parts(parts(count), Terms(), rule)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    return seconds, worked, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, found.most_in_flight


def main() -> None:
    """Runs all and reports the ratios."""
    jobs = workload(COUNT)
    rows, figures = {}, {}
    for name, rule in RULES.items():
        timed(workload(100), rule)
        found, ours = timed(jobs, rule)
        theirs = twin_s(jobs, rule, found)
        rows[name] = (
            f"{ours / COUNT * 1e9:.0f} ns a job, {found.events / ours / 1e6:.1f} million events a second; "
            f"SimPy {found.events / theirs / 1e3:.0f} thousand: {theirs / ours:.0f} times"
        )
        figures[name] = theirs / ours
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, worked, added, in_flight = pool.apply(many, (10 * PART,))
    rows["10,000,000 jobs"] = (
        f"{seconds:.1f} s, {worked:.1f} s of processor, {in_flight} in flight at most, {added:.1f} MiB added"
    )
    report("jobs one by one", rows, figures | {"ten_million_s": seconds, "added_mib": added})


if __name__ == "__main__":
    main()
