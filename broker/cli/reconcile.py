"""`broker reconcile`: a provider's bill held against the ledger; with --apply, what differs becomes charges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from broker.decide.reconcile import Taken


def reconcile(
    bills: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]…", help="All the files of one bill.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="cur, focus, gcp or modal; by default what they look like.")
    ] = None,
    fetch: Annotated[str | None, typer.Option(help="Ask a provider instead: aws-cost-explorer or modal.")] = None,
    period: Annotated[
        str | None, typer.Option("--for", metavar="PERIOD", help="Only these days, which the bill covers to their end.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Lines that no tag or resource tells are of this pool.")] = "",
    named: Annotated[
        list[str] | None, typer.Option("--map", metavar="NAME=POOL", help="A resource or service is of a pool.")
    ] = None,
    billed: Annotated[bool, typer.Option("--billed", help="Invoiced costs, not amortised ones.")] = False,
    complete: Annotated[bool, typer.Option("--complete", help="What is not on the bill was not billed.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Record the differences as charges.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Differences to list, the largest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Hold a bill against what was metered.

    Says what agrees, what is missing on either side and why amounts differ. Records nothing without --apply.

    Example: broker reconcile bill-2026-10.csv.gz --for "last month"
    """
    import time

    from broker.cli import render
    from broker.cli.bill_report import as_document, show
    from broker.cli.connection import settings
    from broker.run.money.bills import Wish, compare, record
    from broker.run.store import open_store

    taken = _taken(period, pool, named or [])
    wish = Wish(files=bills or [], form=form, fetch=fetch, billed=billed, taken=taken, complete=complete)
    own = settings()
    store = open_store(own.store_url)
    try:
        found = compare(store, wish)
        recorded = record(store, found, own.user, time.time_ns()) if apply else None
    finally:
        store.close()
    if as_json:
        render.as_json(as_document(found, recorded))
    else:
        show(found, recorded, limit)


def _taken(period: str | None, pool: str, named: list[str]) -> Taken:
    import time

    from broker.decide.reconcile import DAY_NS, Taken
    from broker.decide.spend import Period, parse_period
    from broker.model.errors import InvalidInput, Problem

    names = {}
    for each in named:
        name, _, of = each.rpartition("=")
        if not (name and of):
            raise InvalidInput(Problem(field="--map", message=f"must be NAME=POOL, not {each!r}"))
        names[name] = of
    now_ns = time.time_ns()
    days = parse_period(period, now_ns) if period else Period(since_ns=None, until_ns=None)
    since_ns = None if days.since_ns is None else -(-days.since_ns // DAY_NS) * DAY_NS
    until_ns = None if days.until_ns is None else min(days.until_ns, now_ns) // DAY_NS * DAY_NS
    if since_ns is not None and until_ns is not None and since_ns >= until_ns:
        raise InvalidInput(Problem(field="--for", message=f"{period!r} has no whole day that is over"))
    return Taken(pool=pool, names=names, since_ns=since_ns, until_ns=until_ns)
