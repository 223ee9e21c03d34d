"""`broker plan`: demand and offers → what to commit to, what to hold day by day, what to leave to serverless."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    trace: Annotated[str, typer.Argument(help="A trace whose demand is to be met; - reads standard input.")] = "-",
    demand: Annotated[Path | None, typer.Option(metavar="FILE", help="The demand itself: step,gpus_busy.")] = None,
    pools: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Offers as YAML; default: by today's prices.")
    ] = None,
    gpu: Annotated[str, typer.Option(metavar="MODEL", help="The GPU whose prices are taken without --pools.")] = "H100",
    step: Annotated[float, typer.Option(min=1, help="Seconds of a step of the demand.")] = 300.0,
    whole_nodes: Annotated[bool, typer.Option("--whole-nodes", help="Buy whole nodes only.")] = False,
    budget: Annotated[float | None, typer.Option(min=0, help="Dollars that the whole may cost.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say how many GPUs to commit to, to hold, and to leave to serverless, and what one more would be worth.

    Example: broker trace synth --days 90 | broker plan
    """
    from broker.decide.plan import Problem, Scenario, solve
    from simulator.planning import demand_of, offers_of_market, offers_of_pools, print_json, print_plan
    from simulator.quiet import quiet

    gpus = demand_of(trace, demand, step)
    offers = offers_of_pools(pools) if pools is not None else offers_of_market(gpu)
    problem = Problem(
        offers=offers,
        scenarios=(Scenario(gpus=gpus, weight=1.0),),
        step_hours=step / 3_600.0,
        block_steps=max(round(86_400.0 / step), 1),
        whole_nodes=whole_nodes,
        budget_usd=budget,
    )
    with quiet():
        found = solve(problem)
    if as_json:
        print_json(problem, found)
    else:
        print_plan(problem, found)
