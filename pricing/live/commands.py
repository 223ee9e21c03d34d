"""`broker prices refresh` and `broker prices history`: words on a command line → questions, lines, exit codes.

Imported whenever the command line starts: what does the work is imported when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pricing.live.refresh import Outcome

Strings = list[str]
REFUSED = 1  # exit codes
NO_ANSWER = 6


def refresh(
    providers: Annotated[Strings, typer.Argument(metavar="PROVIDER...", help="aws, azure, gcp, modal.")],
    region: Annotated[
        Strings | None, typer.Option(help="Ask for this region (repeatable); default: those with known prices.")
    ] = None,
    sku: Annotated[Strings | None, typer.Option(help="Also this machine without GPUs (repeatable).")] = None,
    project: Annotated[str, typer.Option(help="gcp: the project whose machine types are listed.")] = "",
    accept: Annotated[
        Strings | None, typer.Option(metavar="OFFER", help="Believe this price however far it moved; * is a wildcard.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask and judge, keep nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask providers for their prices of today and keep what is plausible.

    Exits with 1 when prices were refused, with 6 when a question had no answer; all others are kept.

    Example: broker prices refresh aws --region us-east-1
    """
    from broker.model.errors import InvalidInput, Problem
    from pricing.live.refresh_output import print_outcomes

    if region and len(set(providers)) > 1:
        message = "is the name of one provider's region: refresh the providers one by one"
        raise InvalidInput(Problem(message=message, field="--region"))
    wanted = {"regions": region or (), "skus": sku or (), "project": project, "accepted": accept or ()}
    outcomes = print_outcomes(_outcomes(providers, keep=not dry_run, **wanted), as_json=as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(NO_ANSWER)
    if any(outcome.refused for outcome in outcomes):
        raise typer.Exit(REFUSED)


def _outcomes(providers: Strings, *, keep: bool, **wanted: object) -> Iterator[Outcome]:
    import time

    from pricing.installed_offers import known_offers
    from pricing.live.history import PriceHistory
    from pricing.live.location import prices_file
    from pricing.live.refresh import refresh as refreshed
    from pricing.sources import provider

    asked = [provider(name) for name in dict.fromkeys(providers)]
    history = PriceHistory(prices_file()) if keep else None
    for each in asked:
        yield from refreshed(each, known_offers(), history, lambda: int(time.time()), **wanted)  # type: ignore[arg-type]


def history(
    offer: Annotated[str, typer.Argument(help="An offer's id, as `broker prices` lists it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an offer cost when, and who said so.

    Example: broker prices history aws/ec2/p5.48xlarge/us-east-1/spot
    """
    from pricing.installed_offers import known_offers
    from pricing.live import offer_history
    from pricing.live.history import PriceHistory
    from pricing.live.location import prices_file

    found = offer_history.past_prices(offer, known_offers(), PriceHistory(prices_file()).prices(offer.lower()))
    offer_history.print_json(found) if as_json else offer_history.print_lines(found)
