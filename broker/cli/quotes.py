"""Quotes: a placement as the API gives it → a table of what each pool would cost, and the reason in words."""

from __future__ import annotations

from typing import Any

from broker.cli import render
from broker.cli.render import Column

_COLUMNS = [
    Column(head="", cell=lambda row: "→" if row.get("is_chosen") else ""),
    Column(head="pool", cell=lambda row: str(row["pool"]) + (" (emulated)" if row.get("emulated") else "")),
    Column(head="starts in", cell=lambda row: _when(row.get("start_in_s")), right=True),
    Column(head="ends in", cell=lambda row: render.seconds(row.get("end_in_s")), right=True, spare=1),
    Column(head="adds", cell=lambda row: _amount(row, "marginal"), right=True),
    Column(head="in full", cell=lambda row: _amount(row, "full"), right=True),
    Column(head="of which", cell=lambda row: _lines(row), wrap=True),
]


def show_placement(placement: dict[str, Any]) -> None:
    """Prints the table and the reason."""
    chosen = placement["chosen"]
    quotes = ([{**chosen, "is_chosen": placement["verdict"] == "run"}] if chosen else []) + placement["others"]
    render.table(_COLUMNS, [*quotes, *placement["refusals"]])
    render.line(f"{placement['verdict']}: {placement['reason']}")
    if placement["flip"]:
        render.line(f"otherwise: {placement['flip']}")
    for warning in (chosen or {}).get("warnings", []):
        render.line(f"note: {warning}")


def _when(value: float | None) -> str:
    return "now" if value == 0 else render.seconds(value)


def _amount(row: render.Row, name: str) -> str:
    if "message" in row:
        return ""
    found = row.get(name)
    return render.usd(found["usd"] if found else None)


def _lines(row: render.Row) -> str:
    if "message" in row:
        return str(row["message"])
    return ", ".join(_line(line) for line in row.get("lines", []))


def _line(line: dict[str, Any]) -> str:
    paid = " (paid anyway)" if line["sunk"] else ""
    return f"{line['what'].replace('_', ' ')} {render.usd(line['amount']['usd'])}{paid}"
