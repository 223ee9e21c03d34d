"""`broker prices`: the offers of all installed price sources → a list that can be filtered, sorted and checked."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pricing.live.commands import history, refresh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from broker.model.offers import Offer

app = typer.Typer(rich_markup_mode=None)
app.command()(refresh)
app.command()(history)


class SortKey(StrEnum):
    """By what offers are ordered."""

    PER_GPU_HOUR = "per-gpu-hour"
    PRICE = "price"
    DATE = "date"
    PROVIDER = "provider"


@app.callback(invoke_without_command=True)
def prices(
    context: typer.Context,
    gpu: Annotated[str | None, typer.Option(metavar="MODEL", help="Only this GPU model: H100, A100-80GB, L4 …")] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider.")] = None,
    tier: Annotated[str | None, typer.Option(help="on_demand, spot, commit_1y, commit_3y or serverless.")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region, and what holds everywhere.")] = None,
    sort: Annotated[SortKey, typer.Option(help="What comes first.")] = SortKey.PER_GPU_HOUR,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="Prices as known on a day: 2026-09-30.")] = None,
    stale_days: Annotated[int, typer.Option(min=0, help="Mark prices older than this.")] = 90,
    sources: Annotated[bool, typer.Option("--sources", help="Show where each price was read, and its note.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also offers without a GPU, and earlier prices.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """List what GPUs cost, with dates and sources.

    Example: broker prices --gpu H100 --tier spot
    """
    if context.invoked_subcommand is not None:
        return
    from pricing import offer_table
    from pricing.installed_offers import known_offers

    day = _day(at)
    wanted = offer_table.Wanted(gpu=gpu, provider=provider, tier=tier, region=region, every=every)
    found = offer_table.ordered(offer_table.select(known_offers(), wanted, day), sort.value)
    if as_json:
        offer_table.print_json(found, day, stale_days)
    elif as_csv:
        offer_table.print_csv(found, day, stale_days)
    else:
        offer_table.print_table(found, day, stale_days, sources=sources)
        _say_ages(found)


@app.command()
def check() -> None:
    """Says what is wrong with the offers, and exits with 1 when anything is.

    Example: broker prices check
    """
    from pricing.checks import CHECKS, CHECKS_OF_LIVE, problems
    from pricing.installed_offers import by_source

    day, sources = _day(None), by_source()
    checks = {"live": CHECKS_OF_LIVE}
    wrong = [each for name, offers in sources for each in problems(offers, day, checks.get(name, CHECKS))]
    if wrong:
        print("\n".join(wrong))
        raise typer.Exit(1)
    print(f"{sum(len(offers) for _, offers in sources)} offers, nothing wrong")


def _say_ages(offers: Sequence[Offer]) -> None:
    import time

    from pricing.live.history import PriceHistory
    from pricing.live.location import prices_file
    from pricing.offer_table import print_ages

    print_ages(offers, PriceHistory(prices_file()).last_refreshes(), int(time.time()))


def _day(text: str | None) -> date:
    from datetime import UTC, date, datetime

    from broker.model.errors import InvalidInput, Problem

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(Problem(message=f"must be a date like 2026-01-31, not {text!r}", field="--at")) from error
