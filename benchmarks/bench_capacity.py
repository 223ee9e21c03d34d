"""What the policy's capacity costs against perfect hindsight, on recorded workloads, by the independent referee.

The recorded workloads and the referee lie beside the project, in `../shared`. Decisions go to the referee as the files
that `broker simulate --decisions` writes; every ratio in the table is the referee's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from broker.decide.capacity import targets
from broker.decide.demand import Demand
from broker.decide.market import SCENARIOS, Targets
from broker.decide.workload import Workload

SHARED = Path(__file__).parents[2] / "shared"
REFEREE = SHARED / "bench" / "referee.py"
GOALS = {
    "elastic": (1.03, 1.10),
    "elastic-8gpu-nodes": (1.04, 1.12),
    "slow-boot": (1.05, 1.15),
    "day-ahead": (1.08, 1.18),
    "commit-14d": (1.08, 1.25),
}


def recorded() -> list[Path]:
    """The recorded clusters: traces of jobs and of levels; request logs have no GPUs of their own."""
    chosen = []
    for path in sorted((SHARED / "traces").glob("*.csv.gz")):
        columns = set(pd.read_csv(path, nrows=1).columns)
        if {"submit_s", "duration_s", "gpus"} <= columns or columns & {"gpus_running", "nodes_active"}:
            chosen.append(path)
    return chosen


def history(path: Path) -> Workload | Demand:
    """A recorded workload as the policy reads it."""
    table = pd.read_csv(path)
    if "time_s" in table:
        step = (table["time_s"] // 300.0).astype(int)
        return Demand(step_s=300.0, gpus=table.iloc[:, 1].groupby(step).mean().to_numpy(float))
    users = table["user"].astype(str).tolist() if "user" in table else None
    return Workload.of(table["submit_s"], table["duration_s"], table["gpus"], user=users)


def ratio(path: Path, scenario: str, found: Targets) -> float:
    """Cost against the optimum, as the referee says."""
    with tempfile.TemporaryDirectory() as folder:
        decisions = Path(folder) / "decisions.csv"
        columns = {"step": np.arange(len(found.cluster_gpus)), "cluster_gpus": found.cluster_gpus}
        pd.DataFrame(columns | {"committed_gpus": found.committed_gpus}).to_csv(decisions, index=False)
        command = [sys.executable, str(REFEREE), "score", str(path), str(decisions), "--scenario", scenario]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(json.loads(said)["ratio"])


def main() -> None:
    """Prints a Markdown table of all workloads and scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not REFEREE.exists():
        raise SystemExit(f"the referee is not at {REFEREE}: this benchmark can't be run here")
    names, rows, begun = options.scenario or list(SCENARIOS), {}, time.perf_counter()
    for path in recorded():
        known = history(path)
        rows[path.name.removesuffix(".csv.gz")] = [ratio(path, name, targets(known, SCENARIOS[name])) for name in names]
        print(f"{path.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    if options.json:
        print(json.dumps({"scenarios": names, "ratios": rows}))
        return
    print("| workload | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for workload, ratios in rows.items():
        print(f"| {workload} | " + " | ".join(f"{value:.3f}" for value in ratios) + " |")
    table = np.array(list(rows.values()))
    print(
        "| **mean** (goal) | "
        + " | ".join(f"{v:.3f} ({GOALS[n][0]})" for v, n in zip(table.mean(0), names, strict=True))
        + " |"
    )
    print(
        "| **worst** (goal) | "
        + " | ".join(f"{v:.3f} ({GOALS[n][1]})" for v, n in zip(table.max(0), names, strict=True))
        + " |"
    )


if __name__ == "__main__":
    main()
