"""`broker breakeven`: price sources and the conditions of work → how busy a GPU must be for holding it to pay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

    from broker.run.money.breakeven_table import Asked

SECONDS_PER_HOUR = 3_600


def breakeven(
    gpu: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="GPU model: H100, A100-80GB, L4 …; without it, one line for each."),
    ] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only cluster offers of this provider.")] = None,
    tier: Annotated[list[str] | None, typer.Option(help="Only cluster offers of this tier: spot, commit_3y …")] = None,
    serverless: Annotated[list[str] | None, typer.Option(help="Only this serverless provider.")] = None,
    own: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Hardware of your own, $ per GPU-hour, as one more row.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every offer, not the cheapest of each provider and tier.")
    ] = False,
    job_length: Annotated[str, typer.Option(metavar="TIME", help="How long a job works.")] = "10m",
    cold_start: Annotated[str, typer.Option(metavar="TIME", help="Billed before each job: 10s.")] = "0s",
    idle_tail: Annotated[str, typer.Option(metavar="TIME", help="Billed after each job until scale-down: 60s.")] = "0s",
    region_multiplier: Annotated[float, typer.Option(min=0.01, help="Serverless in a chosen region: 1.5.")] = 1.0,
    ops: Annotated[float, typer.Option(min=0, help="Staff and tools, as a share of the cluster's price: 0.2.")] = 0.0,
    head_usd_hour: Annotated[float, typer.Option(min=0, help="The cluster's head node, $ per hour.")] = 0.0,
    storage_usd_hour: Annotated[float, typer.Option(min=0, help="Disks that stay, $ per hour.")] = 0.0,
    egress_usd_hour: Annotated[float, typer.Option(min=0, help="Data out of the cluster, $ per hour.")] = 0.0,
    gpus_sharing: Annotated[int, typer.Option(min=1, help="GPUs that share these three.")] = 8,
    packing: Annotated[float, typer.Option(min=0.01, max=1, help="Useful part of the GPU time that jobs hold.")] = 1.0,
    interruptions_per_hour: Annotated[float, typer.Option(min=0, help="Of a spot node.")] = 0.0,
    lost: Annotated[str, typer.Option(metavar="TIME", help="Work done again after each interruption: 30m.")] = "0s",
    utilization: Annotated[
        float | None, typer.Option(min=0, max=1, help="Also say which way is cheaper at this busy share: 0.3.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="Prices as known on a day: 2026-09-30.")] = None,
    stale_days: Annotated[int, typer.Option(min=0, help="Mark prices older than this.")] = 90,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curve: .png, or .html to hover.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Say how busy a GPU must be for holding it to pay.

    Offer by offer, against what serverless costs.

    Example: broker breakeven --gpu H100 --serverless modal --cold-start 10s --idle-tail 60s --plot h100.png
    """
    from broker.decide.breakeven import Conditions
    from broker.run.money.breakeven_table import Asked

    day = _day(at)
    conditions = Conditions(
        ops_share=_decimal(ops),
        head_usd_hour=_decimal(head_usd_hour),
        storage_usd_hour=_decimal(storage_usd_hour),
        egress_usd_hour=_decimal(egress_usd_hour),
        gpus_sharing=_decimal(gpus_sharing),
        packing=_decimal(packing),
        interruptions_per_hour=_decimal(interruptions_per_hour),
        lost_s=_lost_s(lost, interruptions_per_hour),
        job_s=_seconds("--job-length", job_length, positive=True),
        cold_start_s=_seconds("--cold-start", cold_start),
        idle_tail_s=_seconds("--idle-tail", idle_tail),
        region_multiplier=_decimal(region_multiplier),
    )
    asked = Asked(
        day=day,
        conditions=conditions,
        providers=tuple(provider or ()),
        tiers=tuple(tier or ()),
        serverless=tuple(serverless or ()),
        every_offer=every,
        utilization=None if utilization is None else _decimal(utilization),
        stale_days=stale_days,
    )
    form = "json" if as_json else "csv" if as_csv else "text"
    if gpu is None:
        _needs_gpu({"--own": own, "--plot": plot})
        _print_overview(asked, form)
    else:
        _print_table(gpu, asked, None if own is None else _decimal(own), plot, form)


def _print_overview(asked: Asked, form: str) -> None:
    from broker.cli.breakeven_overview import overview, print_overview
    from broker.cli.breakeven_records import print_csv, print_pairs
    from broker.run.plugins import price_offers

    cells = overview(price_offers(), asked)
    {"json": print_pairs, "csv": print_csv, "text": print_overview}[form](cells, asked)


def _print_table(gpu: str, asked: Asked, own: Decimal | None, plot: Path | None, form: str) -> None:
    from broker.cli.breakeven_plot import draw, drawable
    from broker.cli.breakeven_records import print_csv, print_json
    from broker.cli.breakeven_text import print_text
    from broker.cli.render import say
    from broker.run.money.breakeven_table import breakeven_table, own_offer
    from broker.run.plugins import price_offers

    if plot is not None:
        drawable(plot)
    more = () if own is None else (own_offer(gpu, own, asked.day),)
    found = breakeven_table((*price_offers(), *more), gpu, asked)
    if plot is not None:
        draw(found, plot)
        say(f"drew {plot}")
    if form == "csv":
        print_csv(found.cells, asked)
    else:
        (print_json if form == "json" else print_text)(found)


def _needs_gpu(options: dict[str, object]) -> None:
    from broker.model.errors import InvalidInput, Problem

    for option, value in options.items():
        if value is not None:
            raise InvalidInput(Problem(message="is for one GPU: say which with --gpu", field=option))


def _decimal(value: float) -> Decimal:
    from decimal import Decimal

    return Decimal(str(value))


def _seconds(option: str, text: str, *, positive: bool = False) -> Decimal:
    from broker.model.errors import InvalidInput, Problem
    from broker.spec.quantities import duration, positive_duration

    try:
        return _decimal(positive_duration(text) if positive else duration(text))
    except ValueError as error:
        raise InvalidInput(Problem(message=str(error), field=option)) from error


def _lost_s(text: str, interruptions_per_hour: float) -> Decimal:
    from broker.model.errors import InvalidInput, Problem

    lost_s = _seconds("--lost", text)
    if lost_s * _decimal(interruptions_per_hour) >= SECONDS_PER_HOUR:
        message = f"{text} lost {interruptions_per_hour:g} times an hour leaves no time to work"
        raise InvalidInput(Problem(message=message, field="--lost"))
    return lost_s


def _day(text: str | None) -> date:
    from datetime import UTC, date, datetime

    from broker.model.errors import InvalidInput, Problem

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(Problem(message=f"must be a date like 2026-01-31, not {text!r}", field="--at")) from error
