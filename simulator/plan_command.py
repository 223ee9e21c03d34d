"""`broker plan`: demand and offers → what to commit to, what to hold, what to leave to serverless."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.model.errors import DaemonError, InvalidInput

if TYPE_CHECKING:
    from broker.decide.plan import Problem
    from simulator.planning.offers import Ways
    from simulator.planning.scenarios import Histories

HOUR_S = 3_600.0
GPU = "H100"
OWN_DAYS = 14.0


def plan(
    trace: Annotated[
        str | None, typer.Argument(help="A trace whose demand is to be met; - or a pipe: standard input.")
    ] = None,
    own: Annotated[
        bool, typer.Option("--own", help="The running broker's own work and prices; default: without trace and pipe.")
    ] = False,
    demand: Annotated[Path | None, typer.Option(metavar="FILE", help="The demand itself: step,gpus_busy.")] = None,
    pools: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Offers, classes, limits as YAML; default: today's prices.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Whose prices are taken without --pools: H100; or whose own work alone: all."
        ),
    ] = None,
    step: Annotated[float, typer.Option(min=1, help="Seconds of a step of the demand.")] = 300.0,
    forecast: Annotated[
        float | None, typer.Option(min=0.1, max=3_660, metavar="DAYS", help="Plan for what may come, not what was.")
    ] = None,
    courses: Annotated[int, typer.Option(min=1, max=200, help="Courses of demand that a forecast has.")] = 12,
    whole_nodes: Annotated[
        bool | None, typer.Option("--whole-nodes/--parts", help="Buy whole nodes only; default: without --pools.")
    ] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Dollars that the whole may cost.")] = None,
    sensitivity: Annotated[
        bool | None, typer.Option(help="Say up to which price each offer is bought; default: where it is quick.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report that opens in a browser.")] = None,
    lp: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the programme, for another solver.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what to commit to, to hold and to leave to serverless.

    And what one more would be worth, and at which prices the answer changes.
    Without a trace it is for the work of the broker that runs here, for what may come in two weeks.

    Example: broker trace synth --days 90 | broker plan
    """
    if own or (trace is None and demand is None and sys.stdin.isatty()):
        given = {"a trace": trace, "--demand": demand, "--pools": pools, "--budget": budget, "--html": html, "--lp": lp}
        _own([name for name, value in given.items() if value is not None], gpu, forecast, as_json)
        return
    from rich.console import Console

    from simulator.compile_notice import announced_compilation
    from simulator.planning.offers import ways_of_market, ways_of_pools
    from simulator.planning.output import document
    from simulator.planning.problem import problem_of
    from simulator.planning.solution import solution

    ways = ways_of_pools(pools) if pools is not None else ways_of_market(gpu or GPU)
    whole = pools is None if whole_nodes is None else whole_nodes
    step_s = max(step, HOUR_S) if forecast is not None else step
    with Console(stderr=True).status("reading the demand") as status, announced_compilation(status.update):
        histories = _histories(trace or "-", demand, ways, step_s)
        problem, why = problem_of(
            histories, ways, step_s, days=forecast, courses=courses, whole_nodes=whole, budget_usd=budget
        )
        status.update(f"solving for {problem.steps:,} steps in {len(problem.scenarios)} courses")
        found = solution(problem, sensitivity, status.update)
    if lp is not None:
        _write_lp(problem, lp)
    if html is not None:
        from simulator.report.plan import page
        from simulator.traces.own_csv import file_stem

        source = file_stem(demand or trace or "-")
        html.write_text(page(source, problem, found, ways.prices_from, why), encoding="utf-8")
    _print(document(problem, found, why, ways.prices_from), as_json)


def _own(given: list[str], gpu: str | None, days: float | None, as_json: bool) -> None:
    """Prints the plan that the running broker makes for itself."""
    import broker

    if given:
        raise InvalidInput(f"{' and '.join(given)}: the broker's own plan takes none; --gpu and --forecast change it")
    from rich.console import Console

    with Console(stderr=True).status("the broker makes its plan; the first after an installation takes longest"):
        try:
            found = broker.plan(gpu, days or OWN_DAYS)
        except DaemonError as error:
            raise DaemonError(f"{error}; or plan for a trace: `broker plan TRACE`, or pipe one in") from None
    if not as_json:
        worked = {name: hours for name, hours in found["gpu_hours"].items() if found["gpu"] in (None, name)}
        said = ", ".join(f"{name}: {hours:,.0f} GPU-hours" for name, hours in worked.items())
        days_planned = found["result"]["hours"] / 24
        print(f"{said} of work since {str(found['since'])[:10]}; planned for {days_planned:g} days")
        for name, why in found["left_out"].items():
            print(f"Without the work on {name}: {why}.")
    _print(found["result"], as_json)


def _print(plan: Mapping[str, Any], as_json: bool) -> None:
    from simulator.planning.output import print_plan

    if as_json:
        print(json.dumps(plan))
    else:
        print_plan(plan)


def _histories(trace: str, demand: Path | None, ways: Ways, step_s: float) -> Histories:
    from simulator.planning.scenarios import of_file, of_trace

    return of_file(demand, step_s, ways.classes) if demand else of_trace(trace, step_s, ways.classes, ways.matches)


def _write_lp(problem: Problem, file: Path) -> None:
    from broker.decide.plan.build import modelled
    from broker.decide.plan.by_pulp import pulp_problem

    pulp_problem(modelled(problem).programme).writeLP(str(file))
