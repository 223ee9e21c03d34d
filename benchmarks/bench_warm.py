"""How serverless containers are kept warm, chosen on the first half of each recorded workload, scored on the second.

Each way is scored by what it pays beside the work (idle containers and starting ones), as a multiple of what hindsight
pays: for each idle time, the cheaper of waiting and starting again. The ways: the best fixed window of the first half;
the broker's choice, made again every few hours from the past alone; the hybrid histogram of the literature, which
learns with every job and has seen the first half, in bins of a minute as published and of a second; a fixed minute; and
the best fixed window of the second half itself, for comparison.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bench_capacity import SHARED
from benchmarks.harness import report
from broker.decide.warm import Bounds, Histogram, Played, Promise, Wanted, best_window_s, choose, idle_times, play
from broker.decide.warm import play_histogram as histogram
from broker.decide.workload import Workload
from broker.model.pools import KeepWarm
from simulator.traces.formats.request_log import request_log
from simulator.traces.formats.source import Source

COLD_START_S = 10.0
FIXED_S = 60.0
CHOICES = 40  # at most, over the second half, of those made again
PROMISE = Promise(within_s=1.0, share=0.95)
MOST = 64


def costs(jobs: Workload) -> dict[str, float]:
    """Idle and cold GPU-seconds of the second half, over hindsight's."""
    half = float(np.median(jobs.submit_s))
    later, seen = jobs.take(jobs.submit_s >= half), idle_times(jobs.known_at(half))
    ahead = idle_times(later)
    found = {
        "chosen once": _fixed(later, best_window_s(seen, COLD_START_S)),
        "chosen again": play(later, _again(jobs, half, Wanted(cold_start_s=COLD_START_S)), COLD_START_S),
        "histogram": histogram(jobs, COLD_START_S, counted_from_s=half),
        "histogram, 1 s": histogram(jobs, COLD_START_S, Histogram(bin_s=1.0, bins=14_400), counted_from_s=half),
        "a minute": _fixed(later, FIXED_S),
        "best window": _fixed(later, best_window_s(ahead, COLD_START_S)),
    }
    least = ahead.least_gpu_s(COLD_START_S) + COLD_START_S * _first(later)
    return {name: _beside(each) / least for name, each in found.items()}


def promised(jobs: Workload) -> dict[str, float]:
    """The share of the second half's jobs that started within the promise, and what that added to their price."""
    half = float(np.median(jobs.submit_s))
    later = jobs.take(jobs.submit_s >= half)
    wanted = Wanted(cold_start_s=COLD_START_S, promise=PROMISE, bounds=Bounds(most_containers=MOST))
    kept = play(later, _again(jobs, half, wanted), COLD_START_S)
    by_histogram = histogram(jobs, COLD_START_S, counted_from_s=half)
    work = float((later.duration_s * later.gpus).sum())
    return {
        "share": kept.warm_share,
        "added": _beside(kept) / work,
        "histogram's share": by_histogram.warm_share,
        "histogram's added": _beside(by_histogram) / work,
    }


def _again(jobs: Workload, from_s: float, wanted: Wanted) -> list[tuple[float, KeepWarm]]:
    """Settings for equal parts of the time from then on, each chosen from what was known as its part began."""
    times = np.linspace(from_s, float(jobs.submit_s[-1]), CHOICES, endpoint=False)
    return [(float(at_s), choose(jobs.known_at(float(at_s)), wanted).setting) for at_s in times]


def _fixed(jobs: Workload, window_s: float) -> Played:
    return play(jobs, KeepWarm(scaledown_window_s=window_s), COLD_START_S)


def _beside(played: Played) -> float:
    return played.idle_gpu_s + played.cold_gpu_s


def _first(jobs: Workload) -> float:
    """GPUs of the containers that are started whatever is kept."""
    long = play(jobs, KeepWarm(scaledown_window_s=1e12), 0.0)
    return long.cold_job_gpus


def recorded() -> Iterator[tuple[Path, Workload]]:
    """The recorded jobs and requests."""
    for path in sorted((SHARED / "traces").glob("*.csv.gz")):
        table = pd.read_csv(path)
        if "context_tokens" in table:
            table = request_log(Source(text=io.StringIO(table.to_csv(index=False)), name=path.name))
        if {"submit_s", "duration_s", "gpus"} <= set(table):
            yield path, Workload.of(table["submit_s"], table["duration_s"], table["gpus"])


def main() -> None:
    """Reports the ratios of each trace, and their means; then the promise."""
    workloads = {path.name.removesuffix(".csv.gz"): jobs for path, jobs in recorded()}
    if not workloads:
        raise SystemExit(f"there are no traces of jobs in {SHARED / 'traces'}")
    _table("idle and starting over hindsight's", {name: costs(jobs) for name, jobs in workloads.items()})
    few = {name: jobs for name, jobs in workloads.items() if name.startswith(("azure", "servegen"))}
    _table("95 % of requests start within a second", {name: promised(jobs) for name, jobs in few.items()})


def _table(title: str, found: dict[str, dict[str, float]]) -> None:
    names = next(iter(found.values()))
    found["mean"] = {name: float(np.mean([each[name] for each in found.values()])) for name in names}
    table = {trace: ", ".join(f"{name} {ratio:.3f}" for name, ratio in row.items()) for trace, row in found.items()}
    report(title, table, {"mean": found["mean"]})


if __name__ == "__main__":
    main()
