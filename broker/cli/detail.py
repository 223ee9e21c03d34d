"""Details: one job or array as the API gives it → lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from broker.cli import render
from broker.cli.render import Column


def show_job(found: dict[str, Any]) -> None:
    """Prints a job."""
    from broker.cli.watch import summary

    render.line(
        f"{found['id']}  {found['name']}  {found['state']}" + (f": {found['reason']}" if found["reason"] else "")
    )
    render.line(f"command    {found['command']}")
    render.line(f"user       {found['user']}    project {found['project']}    priority {found['priority']}")
    render.line(f"gpus       {found['gpus'] or 'none'}")
    if found["tags"]:
        render.line("tags       " + ", ".join(f"{key}={value}" for key, value in found["tags"].items()))
    if placement := found["placement"]:
        render.line(f"placed     {placement['reason']}")
        if placement["flip"]:
            render.line(f"otherwise  {placement['flip']}")
    if found["endpoint"]:
        render.line(f"endpoint   {found['endpoint']}")
    if found["ended"]:
        render.line(f"ended      {summary(found)}")
    render.table(_ATTEMPTS, found["made"], title="attempts")
    render.table(_CHANGES, list(said_once(found["changes"])), title="history")
    if found["charged"]:
        render.table(_CHARGED, found["charged"], title="charges")
    for told in found["estimates"]:
        render.line(f"{told['pool']} itself says {_amount(told)} for {told['unit_id']}, before its bill")


def show_array(found: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    """Prints an array and its first tasks."""
    from broker.cli.watch import summary

    render.line(summary(found))
    render.table(_TASKS, tasks, title="tasks, newest first")


def _amount(row: render.Row) -> str:
    return render.usd(row["amount"]["usd"] if row["amount"] else None)


def _corrects(row: render.Row) -> str:
    return " (bill)" if row["book"] == "correction" else ""


def _unpriced(row: render.Row) -> str:
    return f" and {row['unknown']} unknown" if row["unknown"] and row["amount"] else ""


def said_once(changes: Sequence[render.Row]) -> Iterator[render.Row]:
    """What an attempt and its job have in common is said once."""
    said = ""
    for each in changes:
        yield {**each, "reason": "" if each["reason"] == said else each["reason"]}
        said = each["reason"] or said


def _second(iso: str) -> str:
    return iso[:19].replace("T", " ")


_ATTEMPTS = [
    Column(head="attempt", cell=lambda row: str(row["number"]), right=True),
    Column(head="pool", cell=lambda row: row["pool"] + (" (emulated)" if row["emulated"] else "")),
    Column(head="state", cell=lambda row: str(row["state"])),
    Column(head="ran", cell=lambda row: render.span(row["started_at"], row["ended_at"]), right=True),
    Column(head="exit", cell=lambda row: "" if row["exit_code"] is None else str(row["exit_code"]), right=True),
    Column(head="reason", cell=lambda row: str(row["reason"]), wrap=True),
]
_CHANGES = [
    Column(head="at", cell=lambda row: str(row["at"])[:23].replace("T", " ")),
    Column(head="of", cell=lambda row: str(row["attempt_id"] or "job")),
    Column(head="change", cell=lambda row: f"{row['old']} → {row['new']}"),
    Column(head="reason", cell=lambda row: str(row["reason"]), wrap=True),
]
_CHARGED = [
    Column(head="for", cell=lambda row: str(row["kind"]).replace("_", " ") + _corrects(row)),
    Column(head="pool", cell=lambda row: str(row["pool"])),
    Column(head="from", cell=lambda row: _second(row["started_at"]), spare=1),
    Column(head="to", cell=lambda row: _second(row["ended_at"]), spare=2),
    Column(head="charges", cell=lambda row: str(row["count"]), right=True),
    Column(head="amount", cell=lambda row: _amount(row) + _unpriced(row), right=True),
    Column(head="price", cell=lambda row: ", ".join(each["offer"] for each in row["prices"]) or "not known", wrap=True),
]
_TASKS = [
    Column(head="id", cell=lambda row: str(row["id"])),
    Column(head="state", cell=lambda row: str(row["state"])),
    Column(head="pool", cell=lambda row: str(row["pool"] or "")),
    Column(head="ran", cell=lambda row: render.span(row["started_at"], row["ended_at"]), right=True),
    Column(head="cost", cell=lambda row: render.usd(row["cost"]["usd"]), right=True),
]
