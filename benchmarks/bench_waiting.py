"""What the broker's own wait costs and saves, job by job, on recorded clusters: against none, and a constant one.

The recorded workloads lie beside the project, in `../shared`; nodes have eight GPUs and boot in five minutes, and
serverless costs 2.22 times as much. A wait is what a job is not working, from its submission to its end.
"""

from __future__ import annotations

from benchmarks.bench_capacity import history, recorded
from broker.decide.workload import Workload
from simulator.jobs import Result, Rule, Terms, run
from simulator.jobs.rules import BY_WORTH, STEP_S, by_capacity

TERMS = Terms()
NOBODY = Rule()
CONSTANT = Rule(wait_s=TERMS.boot_s + STEP_S)


def played(jobs: Workload) -> dict[str, Result]:
    """The same capacity policy under each way to wait, and serverless alone."""
    waits = {"nobody waits": NOBODY, "10 min": CONSTANT, "the default": BY_WORTH}
    found = {name: run(jobs, TERMS, by_capacity(jobs, TERMS, rule)) for name, rule in waits.items()}
    return {**found, "serverless": run(jobs, TERMS, Rule(max_nodes=0))}


def main() -> None:
    """Prints a table for the docs."""
    print(
        "| workload | cost: nobody waits | 10 min | the default | all serverless "
        "| mean wait: nobody | 10 min | the default | 99 % |"
    )
    print("|---" * 9 + "|")
    for path in recorded():
        jobs = history(path)
        if not isinstance(jobs, Workload):
            continue
        found = played(jobs)
        none, constant, default = (found[name] for name in ("nobody waits", "10 min", "the default"))
        costs = [f"{each.cost / none.cost:.2f}" for each in (constant, default, found["serverless"])]
        waits = [f"{each.mean_wait_s / 60:.1f} min" for each in (none, constant, default)]
        long = f"{default.waits.quantile(0.99) / 60:.0f} min"
        print(f"| {path.name.removesuffix('.csv.gz')} | 1 | {' | '.join(costs + waits)} | {long} |", flush=True)


if __name__ == "__main__":
    main()
