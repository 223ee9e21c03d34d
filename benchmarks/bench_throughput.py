"""1,000 jobs of `true` as one array in each pool, against raw Ray tasks that run the same subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from benchmarks.harness import RAY, SERVERLESS, broker, report
from benchmarks.processor import used

TASKS = 1_000
RETIRED_S = 2.0  # after the last has ended: its output is archived, and its usage charged


def array(config: str) -> tuple[float, float, str]:
    """Jobs per second of one array; of raw Ray tasks where there is a cluster of Ray; processor time of each job."""
    with broker(config) as (client, state):
        client.wait(client.submit({"argv": ["true"], "array": 20, "resources": {"cpus": 1}})["id"], timeout_s=60)
        before, begun = used(state), time.perf_counter()
        job = client.submit({"argv": ["true"], "array": TASKS, "resources": {"cpus": 1}})["id"]
        client.wait(job, timeout_s=300)
        ours = TASKS / (time.perf_counter() - begun)
        time.sleep(RETIRED_S)
        spent = used(state) - before
        each = ", ".join(f"{role} {ms / TASKS:.1f}" for role, ms in spent.most_common())
        found = state / "pools" / "ray" / "cluster.json"
        total = f"{spent.total() / TASKS:.1f} ms: {each}"
        return ours, raw(json.loads(found.read_text())) if found.exists() else 0.0, total


def raw(cluster: dict[str, object]) -> float:
    """Raw Ray tasks per second, in a process that ends with Ray."""
    code = f"""
import ray, subprocess, time
ray.init(address="127.0.0.2:{cluster["port"]}", log_to_driver=False, logging_level="ERROR")
run = ray.remote(num_cpus=1)(lambda: subprocess.run(["true"]).returncode)
ray.get([run.remote() for _ in range(20)])
begun = time.perf_counter()
ray.get([run.remote() for _ in range({TASKS})])
print({TASKS} / (time.perf_counter() - begun))
"""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": str(cluster["token"])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Runs all three and reports the ratios."""
    ray, tasks, on_ray = array(RAY)
    serverless, _, on_serverless = array(SERVERLESS)
    report(
        f"{TASKS} jobs of true",
        {
            "raw Ray tasks": f"{tasks:.0f}/s",
            "broker, Ray pool": f"{ray:.0f}/s, {ray / tasks:.0%} of raw tasks",
            "broker, serverless pool": f"{serverless:.0f}/s, {serverless / tasks:.0%} of raw tasks",
            "processor time of a job, Ray pool": on_ray,
            "processor time of a job, serverless pool": on_serverless,
        },
        {"raw_per_s": tasks, "ray_per_s": ray, "serverless_per_s": serverless},
    )


if __name__ == "__main__":
    main()
