"""`broker simulate-jobs`: a recorded workload, job by job → cost and waiting under several rules."""

from __future__ import annotations

from typing import Annotated

import typer


def simulate_jobs(
    trace: Annotated[str, typer.Argument(help="A trace of jobs: our CSV, also compressed; - reads standard input.")],
    rule: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A rule to play; several may be.")] = None,
    node_gpus: Annotated[int, typer.Option(min=1, help="GPUs of a node.")] = 8,
    serverless: Annotated[float, typer.Option(min=0, help="Serverless price, in prices of the cluster.")] = 2.22,
    boot: Annotated[float, typer.Option(min=0, help="Seconds that a node boots.")] = 300.0,
    cold_start: Annotated[float, typer.Option(min=0, help="Seconds that a container starts.")] = 10.0,
    window: Annotated[float, typer.Option(min=0, help="Seconds that a container stays warm and is paid for.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a workload costs job by job: queues, whole nodes for gangs, boots, cold starts and idle tails.

    Example: broker simulate-jobs trace.csv.gz --window 30
    """
    from rich.console import Console

    from broker.decide.demand import Demand
    from broker.model.errors import InvalidInput
    from simulator.jobs import Terms, run, table
    from simulator.jobs.rules import rules
    from simulator.names import known
    from simulator.traces import load

    workload = load(trace)
    if isinstance(workload, Demand):
        raise InvalidInput(f"{trace} is a series of busy GPUs: this needs jobs, with submit_s, duration_s and gpus")
    terms = Terms(
        serverless=serverless,
        node_gpus=node_gpus,
        boot_s=boot,
        cold_start_s=cold_start,
        scaledown_window_s=window,
    )
    there = rules(workload, terms)
    runs = {}
    with Console(stderr=True).status("") as status:
        for name in known(rule or list(there), there, "rule"):
            status.update(f"{there[name].title}: {len(workload):,} jobs")
            runs[name] = (there[name], run(workload, terms, there[name].rule))
    if as_json:
        table.print_json(trace, runs, terms, len(workload))
    else:
        table.print_runs(runs, terms, len(workload))
