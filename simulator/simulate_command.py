"""`broker simulate`: a recorded workload → what each policy would have cost, as a table, JSON, files or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

_LEAST_DAYS: Final = 7.0  # a week, for demand that has a weekly cycle

if TYPE_CHECKING:
    from simulator.compare import Comparison
    from simulator.sensitivity import Sensitivity


def simulate(
    trace: Annotated[str, typer.Argument(help="A trace: our CSV, also compressed; - reads standard input.")] = "-",
    scenario: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Terms of the market.")] = None,
    policy: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A policy to play; several may be.")] = None,
    decisions: Annotated[Path | None, typer.Option(metavar="DIR", help="Write each policy's targets here.")] = None,
    replicates: Annotated[int, typer.Option(min=0, help="Resampled traces behind each interval.")] = 0,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report that opens in a browser.")] = None,
    usd: Annotated[
        float | None,
        typer.Option("--usd", min=0, metavar="PRICE", help="Of a cluster GPU-hour: costs in dollars."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what policies would have cost on a recorded workload.

    And the least that it could have cost.

    Example: broker simulate trace.csv.gz --scenario elastic --policy broker --policy cackle
    """
    from rich.console import Console

    from broker.decide.market import SCENARIOS
    from simulator import comparison_output
    from simulator.compare import compare
    from simulator.compile_notice import announced_compilation
    from simulator.intervals import intervals
    from simulator.names import known_names
    from simulator.policies import DEFAULT, POLICIES
    from simulator.report.cost_unit import Unit
    from simulator.sensitivity import sensitivity
    from simulator.traces import load
    from simulator.traces.own_csv import file_stem

    scenarios = known_names(scenario or ["elastic"], SCENARIOS, "scenario")
    policies = known_names(policy or list(DEFAULT), POLICIES, "policy")
    history = load(trace)
    found: dict[str, Comparison] = {}
    bands: dict[str, dict[str, tuple[float, float]]] = {}
    sensitivities: dict[str, Sensitivity] = {}
    with Console(stderr=True).status("reading the trace") as status, announced_compilation(status.update):
        for name in scenarios:
            market = SCENARIOS[name]
            status.update(f"{name}: playing {len(policies)} policies")
            found[name] = compare(history, market, policies)
            if replicates:
                status.update(f"{name}: playing them on {replicates} resampled traces")
                bands[name] = intervals(history, market, policies, replicates)
            if html is not None:
                status.update(f"{name}: deciding anew at other prices")
                sensitivities[name] = sensitivity(history, market)
    warn_of_a_short_time(found[scenarios[0]])
    if html is not None:
        from simulator.report.simulation import page

        text = page(file_stem(trace), found, bands, sensitivities, Unit(usd=usd))
        html.write_text(text, encoding="utf-8")
    if decisions is not None:
        _write(decisions, found)
    if as_json:
        if usd is not None:
            typer.echo("note: --usd is of tables and reports; the JSON's costs are in cluster GPU-hours", err=True)
        comparison_output.print_json(trace, found, bands)
    else:
        comparison_output.print_tables(found, bands, Unit(usd=usd))


def warn_of_a_short_time(played: Comparison) -> None:
    """Says so where so little is left after the history that the figures are those of chance."""
    days = (len(played.demand) - played.market.warmup) * played.market.step_s / 86_400
    if days < _LEAST_DAYS:
        left = f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
        typer.echo(
            f"warning: after two weeks of history the trace has {left} left to play: take a longer one, "
            "what so short a time costs is chance",
            err=True,
        )


def _write(folder: Path, found: dict[str, Comparison]) -> None:
    """One file a policy; below a folder of the scenario's name where there are several."""
    import pandas as pd

    for name, comparison in found.items():
        into = folder / name if len(found) > 1 else folder
        into.mkdir(parents=True, exist_ok=True)
        for outcome in comparison.outcomes:
            columns = {"cluster_gpus": outcome.targets.cluster_gpus, "committed_gpus": outcome.targets.committed_gpus}
            table = pd.DataFrame(columns)
            table.to_csv(into / f"{outcome.policy.name}.csv", index_label="step")
