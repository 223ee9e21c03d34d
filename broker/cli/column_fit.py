"""Fits a table to the width of a terminal: which columns stay, and which are printed below it as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.cli.render import Column, Row

PADDING = 3  # characters that a table adds to each cell
READABLE = 36  # least width, in characters, of a column of running text


def fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> tuple[list[Column], list[Column]]:
    """The columns to show side by side, and those whose text goes below the table.

    First running text goes below, columns of which no row says anything go, and heads of numbers take several lines;
    then go the columns that can be done without, the least needed first. What is still too wide is for the table to
    break: numbers and the names of rows always stay.
    """
    if needed(columns, rows) <= width:
        return list(columns), []
    key = key_of(columns)
    below = [column for column in columns if column.wrap and column is not key and wide(column, rows)]
    shown = [column for column in columns if column is key or (column not in below and wide(column, rows))]
    shown = [replace(column, head="\n".join(column.head.split())) if column.right else column for column in shown]
    for column in sorted((c for c in shown if c.spare), key=lambda c: -c.spare):
        if needed(shown, rows) <= width:
            break
        shown.remove(column)
    return shown, below


def key_of(columns: Sequence[Column]) -> Column:
    """The column that names the rows."""
    return next(column for column in columns if column.head)


def lines_below(key: Column, below: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """A line for each row and column that has something to say, by the row's name."""
    return [
        f"{key.shown(row)}{f' · {column.head}' if column.head else ''}: {text}"
        for column in below
        for row in rows
        if (text := column.shown(row))
    ]


def needed(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    """Characters that the table takes, with running text in several lines."""
    widths = ((wide(column, rows), column) for column in columns)
    return 1 + sum(PADDING + (min(most, READABLE) if column.wrap else most) for most, column in widths)


def wide(column: Column, rows: Sequence[Row]) -> int:
    """Characters of its widest cell or head; 0 where no row says anything."""
    widest = max((len(column.cell(row)) for row in rows), default=0)
    return max(widest, *map(len, column.head.split("\n"))) if widest else 0
