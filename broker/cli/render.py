"""Rendering: rows and sentences → tables on a terminal, tab-separated lines in a pipe, JSON and CSV on request."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Row = Mapping[str, Any]
# Control characters but the end of a line and a tab, and those that turn the direction of writing.
OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

STATE_STYLES = {
    "queued": "yellow",
    "starting": "cyan",
    "running": "bold cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "magenta",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its head, and how a row's cell is worded."""

    head: str
    cell: Callable[[Row], str]
    right: bool = False
    style: Callable[[Row], str] = lambda _: ""
    wrap: bool = False  # running text: may take several lines, or go below a table that would be too wide
    spare: int = 0  # left out of a table that would be too wide, the largest first; 0: never

    def shown(self, row: Row) -> str:
        """A row's cell on a terminal."""
        return plain(self.cell(row))


def plain(text: str) -> str:
    """A text with nothing in it that a terminal would obey: jobs and their users say what they like."""
    return OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def line(text: str = "") -> None:
    """Prints a line of a result."""
    print(plain(text))


def table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    title: str = "",
    footer: Row | None = None,
    none: str = "nothing here yet",
) -> None:
    """Prints rows; a table with colours on a terminal, or `none`; tab-separated without decoration in a pipe."""
    if not sys.stdout.isatty():
        print("\t".join(column.head for column in columns))
        for row in [*rows, *([footer] if footer else [])]:
            print("\t".join(column.shown(row).replace("\n", " ") for column in columns))
        return
    if rows or footer:
        _rich_table(columns, rows, title, footer)
    else:
        say(f"{title}: {none}" if title else none, style="dim")


def _rich_table(columns: Sequence[Column], rows: Sequence[Row], title: str, footer: Row | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from broker.cli.column_fit import fitting, key_of, lines_below, wide

    console = Console(highlight=False)
    every = [*rows, *([footer] if footer else [])]
    shown, below = fitting(columns, every, console.width)
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", show_footer=footer is not None)
    for column in shown:
        made.add_column(
            column.head,
            footer=column.shown(footer) if footer else "",
            justify="right" if column.right else "left",
            no_wrap=column.right,  # of a number, no digit may be missing
            min_width=wide(column, every) if column.right else None,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(Text(column.shown(row), style=column.style(row)) for column in shown))
    console.print(made)
    for line in lines_below(key_of(columns), below, rows):
        console.print(Text(line))


def as_json(data: Any) -> None:
    """Prints one JSON document."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
    print()


def rows(
    columns: Sequence[Column], found: Sequence[Row], as_json_document: bool, none: str = "nothing here yet"
) -> None:
    """Prints what was found, as one JSON document or as a table; on a terminal `none` where nothing was."""
    if as_json_document:
        as_json(found)
    else:
        table(columns, found, none=none)


def row(columns: Sequence[Column], found: Row, as_json_document: bool) -> None:
    """Prints one thing, as a JSON document or as a table of one row."""
    if as_json_document:
        as_json(found)
    else:
        table(columns, [found])


def as_csv(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Prints rows as CSV with a head."""
    out = csv.writer(sys.stdout)
    out.writerow([column.head.lower().replace(" ", "_") for column in columns])
    out.writerows([column.cell(row) for column in columns] for row in rows)


def say(text: str, style: str = "") -> None:
    """One line for people, on stderr so that a pipe carries only results."""
    text = plain(text)
    if sys.stderr.isatty() and style:
        from rich.console import Console

        Console(stderr=True, highlight=False).print(text, style=style, markup=False)
    else:
        print(text, file=sys.stderr)


def usd(amount: str | None) -> str:
    """Dollars for people, from the API's decimal string; an unknown amount is said to be unknown."""
    if amount is None:
        return "unknown"
    from broker.model.money import Money

    return str(Money.of_usd(amount))


def seconds(value: float | None) -> str:
    """A duration for people, such as `1 h 05 m`."""
    if value is None:
        return "–"
    if 0 < value < 0.001:
        return "< 1 ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"


def ago(iso: str | None) -> str:
    """How long ago a moment was."""
    if iso is None:
        return "–"
    return seconds(max((datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds(), 0.0)) + " ago"


def span(start: str | None, end: str | None) -> str:
    """How long something took, or has taken so far."""
    if start is None:
        return "–"
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return seconds(max((until - datetime.fromisoformat(start)).total_seconds(), 0.0))
