"""`broker simulate-jobs`: a recorded workload, job by job → cost and waiting under several rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Hours = Annotated[float | None, typer.Option(min=0.001, metavar="HOURS", help="Mean time until a node fails.")]
OfferId = typer.Option(metavar="OFFER", help="Take price and billing from this offer of `broker prices`.")


def simulate_jobs(
    trace: Annotated[
        str, typer.Argument(help="A trace of jobs: our CSV, also compressed; - reads standard input.")
    ] = "-",
    rule: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A rule to play; several may be.")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=0, help="Nodes of fixed clusters; default: best in hindsight.")
    ] = None,
    node_gpus: Annotated[int, typer.Option(min=1, help="GPUs of a node.")] = 8,
    serverless: Annotated[float, typer.Option(min=0, help="Serverless price, in prices of the cluster.")] = 2.22,
    boot: Annotated[float, typer.Option(min=0, help="Seconds that a node boots.")] = 300.0,
    cold_start: Annotated[float, typer.Option(min=0, help="Seconds that a container starts.")] = 10.0,
    window: Annotated[float, typer.Option(min=0, help="Seconds that a container stays warm and is paid for.")] = 60.0,
    node_offer: Annotated[str | None, OfferId] = None,
    serverless_offer: Annotated[str | None, OfferId] = None,
    spot_offer: Annotated[str | None, OfferId] = None,
    spot_trace: Annotated[
        str | None, typer.Option(metavar="FILE", help="Spot nodes that could be had over time.")
    ] = None,
    spot: Annotated[float, typer.Option(min=0, help="Spot price, in prices of the cluster.")] = 0.4,
    checkpoint: Annotated[
        float | None, typer.Option(min=0.001, metavar="SECONDS", help="Interrupted jobs lose no more; default: all.")
    ] = None,
    slack: Annotated[
        float | None, typer.Option(min=1, metavar="TIMES", help="Deadline of each job, in its run times.")
    ] = None,
    failures: Hours = None,
    estimate_error: Annotated[
        float, typer.Option(min=0, help="How wrong run times are known: deviation of the logarithm.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of failures and estimates.")] = 0,
    replicates: Annotated[int, typer.Option(min=0, help="Resampled workloads behind each interval.")] = 0,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes that play them; default: one a core.")] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Play them on this Ray cluster instead.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report that opens in a browser.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a workload costs, job by job.

    With queues, whole nodes for gangs, boots, cold starts, idle tails and interruptions.

    Example: broker simulate-jobs trace.csv.gz --window 30
    """
    from rich.console import Console

    from simulator.jobs import Terms, table
    from simulator.jobs.inputs import jobs_of, with_offers, with_spot
    from simulator.jobs.intervals import Case, intervals, with_intervals
    from simulator.jobs.progress import Progress
    from simulator.jobs.rules import fixed_size, live_rules, rules
    from simulator.names import known_names
    from simulator.virtual.result import played

    workload = jobs_of(trace)
    terms = Terms(
        serverless=serverless,
        spot=spot,
        node_gpus=node_gpus,
        boot_s=boot,
        cold_start_s=cold_start,
        scaledown_window_s=window,
        checkpoint_s=checkpoint or float("inf"),
        node_mtbf_s=failures * 3_600 if failures else float("inf"),
        seed=seed,
    )
    terms = with_offers(terms, node_offer, serverless_offer, spot_offer)
    terms = with_spot(terms, spot_trace, workload)
    runs: dict[str, table.Played] = {}
    with Console(stderr=True).status(f"{len(workload):,} jobs") as status:
        quick = rules(workload, terms, nodes, estimate_error)
        there = {**quick, **live_rules(workload, terms, estimate_error, slack)}
        for name in known_names(rule or list(quick), there, "rule"):
            shown = Progress(there[name].title, len(workload), status.update)
            runs[name] = table.Played(named=there[name], result=played(workload, terms, there[name].rule, shown.left))
        if replicates:
            status.update(f"playing {replicates} resampled workloads")
            case = Case(
                workload=workload,
                terms=terms,
                names=tuple(runs),
                usable=frozenset(name for name in runs if not there[name].hindsight),
                size=fixed_size(quick),
                error=estimate_error,
            )
            runs = with_intervals(runs, intervals(case, replicates, processes, ray))
    if html is not None:
        from simulator.report.jobs import page
        from simulator.traces.own_csv import file_stem

        html.write_text(page(file_stem(trace), runs, terms), encoding="utf-8")
    if as_json:
        table.print_json(trace, runs, terms)
    else:
        table.print_runs(runs, terms)
