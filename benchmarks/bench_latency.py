"""`echo hi` from submission to its end: the broker on a warm Ray pool, against Ray's Jobs API on the same cluster."""

from __future__ import annotations

import json
import os
import time

from benchmarks.harness import RAY, broker, p50, p99, report, timed


def main() -> None:
    """Runs both and reports the ratio."""
    with broker(RAY) as (client, state):

        def ours() -> None:
            client.wait(client.submit({"run": "echo hi", "resources": {"cpus": 1}})["id"], timeout_s=60)

        timed(5, ours)
        mine = timed(50, ours)
        cluster = json.loads((state / "pools" / "ray" / "cluster.json").read_text())
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": cluster["token"]}
        from ray.job_submission import JobSubmissionClient

        jobs = JobSubmissionClient(f"http://127.0.0.1:{cluster['dashboard_port']}")

        def theirs() -> None:
            job = jobs.submit_job(entrypoint="echo hi")
            while not jobs.get_job_status(job).is_terminal():
                time.sleep(0.01)

        timed(1, theirs)
        other = timed(5, theirs)
    report(
        "echo hi, submitted to ended",
        {
            "broker": f"p50 {p50(mine) * 1000:.0f} ms, p99 {p99(mine) * 1000:.0f} ms",
            "ray job submit": f"p50 {p50(other) * 1000:.0f} ms",
            "ratio at p50": f"{p50(other) / p50(mine):.0f} times faster",
        },
        {"broker_p50_s": p50(mine), "broker_p99_s": p99(mine), "jobs_api_p50_s": p50(other)},
    )


if __name__ == "__main__":
    main()
