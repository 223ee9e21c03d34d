"""`broker budget`: how much may be spent, and how much is."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.cli import render
from broker.cli.render import Column, Row

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Say how much may be spent, and see how much is.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the budget.")]


@app.command("list")
def list_budgets(as_json: AsJson = False) -> None:
    """List budgets with what is spent, reserved and left.

    Example: broker budget list
    """
    from broker.cli.connection import client

    found = client().budgets()
    render.rows(COLUMNS, found, as_json, "no budget yet: `broker budget set NAME --limit 500` makes one")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one budget.

    Example: broker budget show research
    """
    from broker.cli.connection import client

    _print(client().budget(name), as_json)


@app.command("set")
def set_budget(
    name: Name,
    limit: Annotated[str, typer.Option(help="Dollars in one period: 500, $500.")],
    period: Annotated[str, typer.Option(help="day, week, month or total.")] = "month",
    action: Annotated[str, typer.Option(help="For jobs without room: warn, hold or refuse.")] = "hold",
    user: Annotated[str | None, typer.Option(help="Only jobs of this user.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only what this pool costs.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag, KEY=VALUE.")] = None,
    stop_running: Annotated[
        bool, typer.Option("--stop-running", help="Cancel jobs that run once the limit is spent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a budget, or replace it.

    Example: broker budget set research --limit 500 --tag team=research
    """
    from broker.cli.connection import client

    wish = {"limit": limit, "period": period, "action": action, "user": user, "pool": pool, "tag": tag}
    wish["project"] = project
    _print(client().set_budget(name, **wish, stop_running=stop_running), as_json)


@app.command()
def remove(name: Name) -> None:
    """Remove a budget.

    Example: broker budget remove research
    """
    from broker.cli.connection import client

    client().remove_budget(name)
    render.say(f"budget {name} removed")


def _print(found: Row, as_json: bool) -> None:
    render.row(COLUMNS, found, as_json)


def scope(row: Row) -> str:
    """What a budget is for, in words."""
    said = [f"{name} {row[name]}" for name in ("user", "project", "pool", "tag") if row[name]]
    return ", ".join(said) or "everything"


def line(row: Row) -> str:
    """A budget in one line."""
    spent, limit, left = (render.usd(row[name]["usd"]) for name in ("spent", "limit", "left"))
    period = {"total": "in all", "day": "today"}.get(row["period"], f"this {row['period']}")
    return f"budget {row['name']} ({scope(row)}): {spent} of {limit} {period}, {left} left; then {row['action']}"


COLUMNS = [
    Column(head="budget", cell=lambda row: str(row["name"])),
    Column(head="for", cell=scope, wrap=True),
    Column(head="spent", cell=lambda row: render.usd(row["spent"]["usd"]), right=True),
    Column(head="runs", cell=lambda row: render.usd(row["committed"]["usd"]), right=True, spare=2),
    Column(head="waits", cell=lambda row: render.usd(row["queued"]["usd"]), right=True, spare=3),
    Column(head="left", cell=lambda row: render.usd(row["left"]["usd"]), right=True),
    Column(head="limit", cell=lambda row: render.usd(row["limit"]["usd"]), right=True),
    Column(head="per", cell=lambda row: str(row["period"])),
    Column(head="then", cell=lambda row: row["action"] + (", stop" if row["stop_running"] else "")),
    Column(head="anew", cell=lambda row: str(row["until"] or "never")[:10], spare=4),
]
