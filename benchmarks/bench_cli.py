"""How fast the command line answers: `--help` against `ray --help`, `list` with 100,000 finished jobs; memory, idle and
with 100,000 queued jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import SERVERLESS, broker, p50, report, timed
from broker.decide.expand import expand
from broker.model.jobs import JobSpec, JobState
from broker.run.store import open_store
from broker.sdk.client import Client

BIN = Path(sys.executable).parent
JOBS = 100_000


def call(*words: str, **environment: str) -> None:
    subprocess.run(
        [str(BIN / words[0]), *words[1:]], env={**os.environ, **environment}, capture_output=True, check=True
    )


def fill(state: Path) -> None:
    """Puts finished jobs into a store."""
    store = open_store(f"sqlite:///{state / 'broker.db'}")
    jobs = expand(JobSpec(name="old", run="true", array_size=JOBS), "old", "ann", 1)
    single = [replace(job, id=f"old{n}", array_id=None, array_index=None) for n, job in enumerate(jobs)]
    for begin in range(0, JOBS, 10_000):
        part = single[begin : begin + 10_000]
        store.add_jobs(part, "{}", f"part{begin}")
        store.record(jobs=[replace(job, state=JobState.SUCCEEDED, ended_ns=2) for job in part])
    store.close()


def queue(client: Client) -> int:
    """Queues jobs behind one that holds the pool, and says by how much the daemon's memory has grown at its largest."""
    for _ in range(2):
        client.submit({"run": "sleep 600", "resources": {"cpus": 1}})
    before = client.status()["memory_bytes"]
    largest = before
    for _ in range(10):
        client.submit({"run": "true", "array": JOBS // 10, "resources": {"cpus": 1}})
        largest = max(largest, client.status()["memory_bytes"])
    for _ in range(10):
        time.sleep(1)
        largest = max(largest, client.status()["memory_bytes"])
    assert client.status()["counts"]["queued"] >= JOBS
    return int(largest - before)


def main() -> None:
    """Runs all and reports them."""
    helped = timed(10, lambda: call("broker", "--help"))
    other = timed(5, lambda: call("ray", "--help"))
    with broker(SERVERLESS) as (client, state):
        idle = client.status()["memory_bytes"]
        fill(state)
        listed = timed(10, lambda: call("broker", "list", BROKER_STATE_DIR=str(state)))
    with broker(SERVERLESS) as (client, _):
        grown = queue(client)
    report(
        "the command line",
        {
            "broker --help": f"p50 {p50(helped):.2f} s ({p50(other) / p50(helped):.0f} times faster than ray --help)",
            f"broker list, {JOBS:,} finished jobs": f"p50 {p50(listed):.2f} s",
            "daemon, idle": f"{idle / 2**20:.0f} MiB resident",
            f"{JOBS:,} queued jobs": f"{grown / 2**20:.0f} MiB more at most",
        },
        {"help_p50_s": p50(helped), "ray_help_p50_s": p50(other), "list_p50_s": p50(listed), "idle_bytes": idle}
        | {"queued_bytes": grown},
    )


if __name__ == "__main__":
    main()
