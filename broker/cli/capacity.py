"""Commands about what comes, and what came beside what was thought: forecast, accuracy, counterfactual."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column, Row
from broker.cli.sparkline import sparkline

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
OfPool = Annotated[str | None, typer.Option("--pool", help="Only of this pool.")]
Period = Annotated[str, typer.Option("--for", metavar="PERIOD", help="7d, yesterday, 'last month', 2026-11.")]

SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)
EVERY = 3  # steps between the rows of a table


def forecast(pool: OfPool = None, as_json: AsJson = False) -> None:
    """Show how much will be busy in the next two days.

    Nodes or containers of each pool, with bands, and why.

    Example: broker forecast --pool ray
    """
    found = client().forecast(pool)
    if as_json:
        render.as_json(found)
        return
    for each in found:
        _print_forecast(each)


def _print_forecast(found: Row) -> None:
    outlook = found["outlook"]
    if outlook is None:
        print(f"{found['pool']}: nothing has run yet, so there is nothing to forecast from\n")
        return
    rows = dict(zip(outlook["levels"], outlook["quantiles"], strict=True))
    most = max(max(rows[SHOWN[-1]]), 1e-9)
    hours = len(rows[0.5]) * outlook["step_s"] / 3_600
    print(f"{found['pool']}: units busy in the next {hours:.0f} h, at most {found['max_units']}")
    for level in reversed(SHOWN):
        name = "median" if level == SHOWN[2] else f"{level:.0%}"
        print(f"  {name:>6}  {sparkline(rows[level], most)}  up to {max(rows[level]):.1f}")
    render.table(_bands(outlook), _steps(outlook))
    print(f"{outlook['reason']}\n")


def _steps(outlook: Row) -> list[dict[str, Any]]:
    """A row for every few steps: when it begins, and the quantiles."""
    rows = zip(*outlook["quantiles"], strict=True)
    return [
        {"in_h": number * outlook["step_s"] / 3_600, **dict(zip(map(str, outlook["levels"]), row, strict=True))}
        for number, row in enumerate(rows)
        if number % EVERY == 0
    ]


def _bands(outlook: Row) -> list[Column]:
    def cell(level: float) -> Any:
        return lambda row: f"{row[str(level)]:.1f}"

    ahead = Column(head="in", cell=lambda row: f"{row['in_h']:.0f} h", right=True)
    return [ahead, *(Column(head=f"{level:.0%}", cell=cell(level), right=True) for level in SHOWN)]


def accuracy(pool: OfPool = None, period: Period = "7d", as_json: AsJson = False) -> None:
    """Show what was forecast and planned, and what came.

    Day by day, with what the forecast's error cost.

    Example: broker accuracy --for "last month"
    """
    found = client().accuracy(pool, period)
    if as_json:
        render.as_json(found)
        return
    for account in found:
        _print_account(account)


def _print_account(account: Row) -> None:
    print(f"{account['pool']}: plan against actual, in units; days are those of UTC")
    render.table(_DAYS, account["days"])
    costs = [day["error_cost"]["nanodollars"] for day in account["days"] if day["error_cost"]]
    if costs:
        print(f"errors of the forecasts cost {render.usd(str(sum(costs) / 10**9))} in {len(costs)} days")
    for note in dict.fromkeys(day["note"] for day in account["days"] if day["note"]):
        days = [str(day["day"]) for day in account["days"] if day["note"] == note]
        print(f"note, {days[0]}{f' and {len(days) - 1} more days' if len(days) > 1 else ''}: {note}")
    print()


def _number(name: str, digits: int = 1) -> Any:
    return lambda row: "–" if row[name] is None else f"{row[name]:.{digits}f}"


def _band(row: Row) -> str:
    return "–" if row["low"] is None else f"{row['low']:.1f} … {row['high']:.1f}"


def _money(name: str) -> Any:
    return lambda row: "–" if row[name] is None else render.usd(row[name]["usd"])


def _sizes(row: Row) -> str:
    if row["best_size"] is None:
        return "–"
    return f"{row['forecast_size']:.0f} / {row['best_size']:.0f}"


def _share(name: str) -> Any:
    return lambda row: "–" if row[name] is None else f"{row[name]:.0%}"


_DAYS = [
    Column(head="day", cell=lambda row: str(row["day"])),
    Column(head="forecast", cell=_number("forecast"), right=True),
    Column(head="90% band", cell=_band, right=True),
    Column(head="came", cell=_number("busy"), right=True),
    Column(head="peak", cell=_number("peak"), right=True, spare=4),
    Column(head="in band", cell=_share("coverage"), right=True, spare=3),
    Column(head="pinball", cell=_number("pinball", 2), right=True, spare=6),
    Column(head="planned", cell=_number("planned"), right=True, spare=2),
    Column(head="up", cell=_number("up"), right=True, spare=5),
    Column(head="hold / best", cell=_sizes, right=True, spare=1),
    Column(head="error cost", cell=_money("error_cost"), right=True),
    Column(head="paid", cell=_money("paid"), right=True),
]


def counterfactual(pool: OfPool = None, period: Period = "7d", as_json: AsJson = False) -> None:
    """Show what a past time would have cost otherwise.

    All serverless, all cluster and with hindsight, next to what was paid.

    Example: broker counterfactual --for 30d
    """
    found = client().counterfactual(pool, period)
    if as_json:
        render.as_json(found)
        return
    if not found:
        print("there is no cluster with a known price: nothing can be weighed against it")
    for each in found:
        _print_counterfactual(each)


def _print_counterfactual(found: Row) -> None:
    since, until = (str(found[name])[:16].replace("T", " ") for name in ("since", "until"))
    work = f"{found['node_hours']:,.1f} node-hours of work, {found['peak']:.1f} nodes at most"
    print(f"{found['pool']}, {since} to {until}: {work}")
    least = next(each for each in found["alternatives"] if each["name"] == "hindsight")["cost"]["nanodollars"]
    paid = {"title": "what was paid", "cost": found["paid"], "hindsight": False, "note": ""}
    bought = [paid, *found["alternatives"]]
    rows = [{**row, "over": row["cost"]["nanodollars"] / least if least else None} for row in bought]
    render.table(_ALTERNATIVES, sorted(rows, key=lambda row: row["cost"]["nanodollars"]))
    if found["regret"] is not None:
        print(f"regret: {found['regret']:.2f} times what perfect hindsight would have paid")
    for note in found["notes"]:
        print(f"note: {note}")
    print()


def _over(row: Row) -> str:
    return "–" if row["over"] is None else f"{row['over'] - 1:+.0%}"


_ALTERNATIVES = [
    Column(
        head="bought as",
        cell=lambda row: row["title"] + (" *" if row["hindsight"] else ""),
        style=lambda row: "bold" if row["title"] == "what was paid" else "dim" if row["hindsight"] else "",
    ),
    Column(head="cost", cell=_money("cost"), right=True),
    Column(head="over hindsight", cell=_over, right=True),
    Column(head="", cell=lambda row: str(row["note"]), wrap=True),
]
