"""Rows → a table where somebody looks, tab-separated lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.plain import plain

if TYPE_CHECKING:
    from rich.table import Table

NAME_WIDTH = 24  # characters of a name up to which it is never folded
FOLDED_WIDTH = 12  # that are left of a longer one at least

Cells = Sequence[str]


def print_table(
    heads: Cells, rows: Sequence[Cells], *, title: str = "", names: int = 1, styles: Cells = (), left_out: Cells = ()
) -> None:
    """`names`: the first columns hold words, the others numbers; `styles` one of rich's for each row.

    On a terminal, columns without a value and those `left_out` are not shown: they would fold the others.
    """
    if not sys.stdout.isatty():
        print("\n".join("\t".join(map(plain, line)) for line in (heads, *rows)))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left")
    table.title = Text(title) if title else None
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(heads)
    shown = [number for number, head in enumerate(heads) if any(columns[number]) and head not in left_out]
    needed = 1 + sum(_add_column(table, heads[number], columns[number], number < names) for number in shown)
    for number, row in enumerate(rows):
        table.add_row(*(Text(plain(row[at])) for at in shown), style=styles[number] if styles else "")
    console = Console(highlight=False)
    console.width = max(console.width, needed)  # a line that goes on loses no number
    console.print(table)


def _add_column(table: Table, head: str, cells: Cells, named: bool) -> int:
    """Numbers are never folded, their heads are; the characters that it takes at least."""
    least = max(map(len, [*cells, *head.split()]))
    table.add_column(
        head,
        justify="left" if named else "right",
        overflow="fold",
        no_wrap=least <= NAME_WIDTH if named else least >= len(head),
        min_width=None if named else least,
    )
    return 2 + (FOLDED_WIDTH if named and least > NAME_WIDTH else least)


def print_bullets(lines: Sequence[str]) -> None:
    """A dot before each on a terminal, and what doesn't fit on one line below its beginning."""
    if not sys.stdout.isatty():
        print("\n".join(map(plain, lines)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), pad_edge=True)
    for line in lines:
        grid.add_row("•", Text(plain(line)))
    Console(highlight=False).print(grid)
