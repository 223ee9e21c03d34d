"""Commands about money and places: spend, pools."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from broker.cli import budget, render
from broker.cli.connection import client
from broker.cli.render import Column, Row

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


class Export(StrEnum):
    """Formats of other tools that spending can be exported to."""

    FOCUS = "focus"  # the FinOps Open Cost and Usage Specification


def spend(
    by: Annotated[
        list[str] | None,
        typer.Option(help="job, user, project, name, pool, day, kind, tag:KEY; several split further."),
    ] = None,
    period: Annotated[
        str | None, typer.Option("--for", metavar="PERIOD", help="7d, today, 'last month', 2026-11.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only this job or array.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only of this project; may be repeated.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only of this pool.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; may be repeated.")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a head.")] = False,
    export: Annotated[Export | None, typer.Option(help="The charges themselves, for cost tools.")] = None,
) -> None:
    """Show what was spent, and on what.

    The rows add up to what nodes and containers cost.

    Example: broker spend --for "last month" --by user --by pool
    """
    wanted: dict[str, Any] = {
        "by": by or ["pool"],
        "period": period,
        "job": job,
        "user": user,
        "project": project,
        "pool": pool,
        "tag": tag,
    }
    connected = client()
    if export is not None:
        text, unknown = connected.spend_focus(**wanted)
        sys.stdout.write(text)
        if unknown:
            render.say(f"{unknown} charges have no known price and are in no row", style="yellow")
        return
    if as_csv:
        sys.stdout.write(connected.spend_csv(**wanted))
        return
    found = connected.spend(**wanted)
    if as_json:
        render.as_json(found)
        return
    groups = [Column(head=name, cell=partial(_group, name)) for name in found["by"]]
    footer = {**found["total"], "group": {found["by"][0]: "total"}}
    amounts = [column for column in _AMOUNTS if any(column.cell(row) for row in [*found["rows"], footer])]
    render.table([*groups, *amounts], found["rows"], footer=footer)
    if found["total"]["unknown"]:
        print(f"{found['total']['unknown']} charges have no known price and are in no amount")
    for each in connected.budgets():
        print(budget.line(each))


def _group(name: str, row: Row) -> str:
    """What a row is of: – is nobody, as of an idle node, or no such tag. The total has none of the names but one."""
    return str(row["group"][name] or "–") if name in row["group"] else ""


def _money(name: str) -> Any:
    def cell(row: Row) -> str:
        amount = row[name]
        if amount is None and name == "predicted":
            return ""
        return render.usd(amount["usd"] if amount else None)

    return cell


def _corrected(amount: Row) -> str:
    return render.usd(amount["usd"]) if amount["nanodollars"] else ""


_AMOUNTS = [
    Column(head="jobs", cell=_money("job"), right=True, spare=1),
    Column(head="idle and overhead", cell=_money("overhead"), right=True, spare=2),
    Column(head="total", cell=_money("total"), right=True),
    Column(head="corrected by bills", cell=lambda row: _corrected(row["corrected"]), right=True),
    Column(head="predicted for jobs", cell=_money("predicted"), right=True, spare=3),
    Column(head="unknown", cell=lambda row: str(row["unknown"] or ""), right=True),
]


def pools(as_json: AsJson = False) -> None:
    """List the pools: what they have, cost, and lack.

    Example: broker pools
    """
    found = client().pools()
    render.rows(_POOLS, found, as_json)


def has(row: Row) -> str:
    """What the nodes or containers of a pool have, and how many of them there may be."""
    unit = row["unit"]
    gpus = ", ".join(row["gpu_models"])
    emulated = " emulated" if row["emulated"] and unit["gpus"] else ""
    gpu = f"{unit['gpus']:g}×{emulated} {gpus}, " if unit["gpus"] else ""
    in_all = f", {row['max_gpus']:g} GPUs in all" if row["max_gpus"] < unit["gpus"] * row["max_units"] else ""
    return f"{row['max_units']} × ({gpu}{unit['cpus']:g} CPUs, {unit['memory_bytes'] / 2**30:.3g} GiB){in_all}"


def prices_of(row: Row) -> str:
    """What the nodes or containers of a pool cost, and its head."""
    if not row["prices"]:
        return "not known"
    shown = [_price(price, row["kind"] == "serverless") for price in row["prices"][:3]]
    more = f" and {len(row['prices']) - 3} more" if len(row["prices"]) > 3 else ""
    head = [f"head ${price['usd_per_hour']}/h" for price in row["head_prices"][-1:]]
    return "; ".join([*shown, *head]) + more


def _price(price: Row, serverless: bool) -> str:
    parts = []
    by_parts = price["tier"] == "serverless"
    if price["gpu_count"] or not by_parts or float(price["usd_per_hour"]):
        whole = "container" if serverless else "node"  # the largest one, where it is priced as a part of a node
        parts.append(f"${price['usd_per_hour']}/{(by_parts and price['gpu_model']) or whole}-h")
    if price["usd_per_cpu_hour"] is not None:
        parts.append(f"${price['usd_per_cpu_hour']}/CPU-h")
    if price["usd_per_gib_hour"] is not None:
        parts.append(f"${price['usd_per_gib_hour']}/GiB-h")
    return " + ".join(parts) + (f" ({price['age_days']} days old)" if price["stale"] else "")


_POOLS = [
    Column(head="pool", cell=lambda row: str(row["name"])),
    Column(head="kind", cell=lambda row: str(row["kind"]), spare=2),
    Column(head="executor", cell=lambda row: str(row["executor"]), spare=3),
    Column(head="has", cell=has),
    Column(head="up", cell=lambda row: str(len(row["units"])), right=True),
    Column(head="price", cell=prices_of, wrap=True),
    Column(head="isolation", cell=lambda row: str(row["isolation"]), spare=1),
    Column(head="state", cell=lambda row: row["problem"] or row["note"] or "ready", wrap=True),
]
