"""Idle windows chosen on the first half of each recorded workload, and what they cost on the second half.

Against the hybrid histogram's, a fixed minute (Modal's default), and the best window for the second half itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bench_capacity import SHARED
from benchmarks.harness import report
from broker.decide.warm import best_window_s, histogram_window_s, idle_times
from broker.decide.workload import Workload
from simulator.traces.foreign import requests

COLD_START_S = 10.0
FIXED_S = 60.0


def costs(jobs: Workload) -> dict[str, float]:
    """Idle and cold GPU-seconds of the second half over the least, by what chose the window."""
    half = float(np.median(jobs.submit_s))
    seen, later = idle_times(jobs.known_at(half)), idle_times(jobs.take(jobs.submit_s >= half))
    chosen = {"seen": best_window_s(seen, COLD_START_S), "histogram": histogram_window_s(seen), "a minute": FIXED_S}
    least = later.cost_gpu_s(best_window_s(later, COLD_START_S), COLD_START_S)
    return {name: later.cost_gpu_s(window, COLD_START_S) / least for name, window in chosen.items()}


def recorded() -> Iterator[tuple[Path, Workload]]:
    """The recorded jobs and requests."""
    for path in sorted((SHARED / "traces").glob("*.csv.gz")):
        table = pd.read_csv(path)
        if "context_tokens" in table:
            table = requests(table.to_csv(index=False), path.name)
        if {"submit_s", "duration_s", "gpus"} <= set(table):
            yield path, Workload.of(table["submit_s"], table["duration_s"], table["gpus"])


def main() -> None:
    """Reports the ratios of each trace, and their means."""
    found = {path.name.removesuffix(".csv.gz"): costs(jobs) for path, jobs in recorded()}
    if not found:
        raise SystemExit(f"there are no traces of jobs in {SHARED / 'traces'}")
    names = next(iter(found.values()))
    found["mean"] = {name: float(np.mean([each[name] for each in found.values()])) for name in names}
    table = {trace: ", ".join(f"{name} {ratio:.3f}" for name, ratio in row.items()) for trace, row in found.items()}
    report("idle windows over the best of the second half", table, {"mean": found["mean"]})


if __name__ == "__main__":
    main()
