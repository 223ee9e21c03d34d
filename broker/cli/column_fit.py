"""Fits a table to the width of a terminal: which columns stay, and which are printed below it as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.cli.render import Column, Row

PADDING = 3  # characters that a table adds to each cell
READABLE = 36  # least width, in characters, of a column of running text


def fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> tuple[list[Column], list[Column]]:
    """The columns to show side by side, and those whose text goes below the table.

    First running text goes below; then go the columns that can be done without, the least needed first. What is still
    too wide is for the table to shorten.
    """
    if _needed(columns, rows) <= width:
        return list(columns), []
    below = [column for column in columns if column.wrap and _width(column, rows)]
    shown = [column for column in columns if column not in below]
    for column in sorted((c for c in shown if c.spare), key=lambda c: -c.spare):
        if _needed(shown, rows) <= width:
            break
        shown.remove(column)
    return shown, below


def lines_below(key: Column, below: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """A line for each row and column that has something to say, by the row's name."""
    return [
        f"{key.shown(row)}{f' · {column.head}' if column.head else ''}: {text}"
        for column in below
        for row in rows
        if (text := column.shown(row))
    ]


def _needed(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    widths = ((_width(column, rows), column) for column in columns)
    return 1 + sum(PADDING + (min(wide, READABLE) if column.wrap else wide) for wide, column in widths)


def _width(column: Column, rows: Sequence[Row]) -> int:
    """Characters of its widest cell; 0 where no row says anything."""
    widest = max((len(column.cell(row)) for row in rows), default=0)
    return max(widest, len(column.head)) if widest else 0
