"""`broker audit`: who did what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from broker.cli import render
from broker.cli.connection import client
from broker.cli.render import Column

_PAGE = 1_000  # that the API gives at once


def audit(
    user: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, or all of a noun: jobs, tokens.create.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: 24h ago and later, or an ISO time with a zone.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, help="Entries at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    lines: Annotated[bool, typer.Option("--json-lines", help="All that match, a line of JSON each.")] = False,
) -> None:
    """Show who did what, newest first.

    Refused attempts as well.

    Example: broker audit --action tokens --since 7d
    """
    wanted = {"user": user, "action": action, "since": None if since is None else _time(since)}
    found = _entries(wanted, None if lines else limit)
    if lines:
        for each in found:
            print(json.dumps(each, ensure_ascii=False))
    elif as_json:
        render.as_json(found)
    else:
        render.table(_COLUMNS, found)


def _entries(wanted: dict[str, Any], limit: int | None) -> list[dict[str, Any]]:
    connected = client()
    found: list[dict[str, Any]] = []
    cursor: int | None = None
    while limit is None or len(found) < limit:
        size = _PAGE if limit is None else min(limit - len(found), _PAGE)
        page = connected.audit(**wanted, limit=size, cursor=cursor)
        found += page["entries"]
        if (cursor := page["next_cursor"]) is None:
            break
    return found


def _time(text: str) -> str:
    from broker.model.errors import InvalidInput, Problem
    from broker.spec.quantities import positive_duration

    try:
        return (datetime.now(UTC) - timedelta(seconds=positive_duration(text))).isoformat()
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"must be 24h, 7d, or a time like 2026-11-01T08:00Z, not {text!r}"
        raise InvalidInput(Problem(field="--since", message=message)) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


_COLUMNS = [
    Column(head="at", cell=lambda row: str(row["at"])[:19].replace("T", " ")),
    Column(head="user", cell=lambda row: str(row["user"] or "?")),
    Column(head="action", cell=lambda row: str(row["action"])),
    Column(head="on", cell=lambda row: str(row["target"]), wrap=True),
    Column(head="outcome", cell=lambda row: str(row["outcome"])),
    Column(head="from", cell=lambda row: str(row["origin"]), spare=1),
    Column(head="token", cell=lambda row: str(row["token_id"] or "–"), spare=2),
]
