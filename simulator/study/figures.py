"""A chart of a report → a figure that stands alone: what it shows becomes its title."""

from __future__ import annotations

from html import escape
from textwrap import wrap

import pandas as pd
import plotly.graph_objects as go

from simulator.plain import label, plain
from simulator.report.document import Chart
from simulator.report.style import CLUSTER, COMMITTED, IDLE, SERVERLESS, SPOT, drawn

DOLLAR = "&#36;"  # where MathJax is loaded, as in Jupyter, two dollar signs would make a formula of what is between
WIDTH = 105  # letters of a line of a title
LINE_PX = 20


def titled(chart: Chart) -> go.Figure:
    """The figure under the sentence that says what it shows."""
    lines = wrap(chart.says, WIDTH)
    height, above = chart.figure.layout.height or 360, LINE_PX * len(lines)
    margin = (chart.figure.layout.margin.t or 34) + above + 12
    return chart.figure.update_layout(
        title={
            "text": "<br>".join(escape(plain(line), quote=False) for line in lines).replace("$", DOLLAR),
            "font": {"size": 14},
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 10},
        },
        height=height + above,
        margin={"t": margin},
    )


def stacked(table: pd.DataFrame, says: str, *, x: str, y: str) -> go.Figure:
    """A bar for each row of a table, its columns stacked in their order; `x` and `y` name the axes."""
    figure, colours = go.Figure(), (CLUSTER, SERVERLESS, IDLE, COMMITTED, SPOT)
    named = any(isinstance(each, str) for each in table.index)
    rows = list(range(len(table))) if named else list(table.index)
    for number, column in enumerate(table.columns):
        colour = colours[number % len(colours)]
        figure.add_bar(x=rows, y=table[column], name=str(column), marker_color=colour)
    drawn(figure, x=x, y=y, barmode="stack")
    if named:
        # By their places: a name may look like a number or a date, or like another.
        figure.update_xaxes(tickmode="array", tickvals=rows, ticktext=[label(str(each)) for each in table.index])
    return titled(Chart(figure=figure, says=says))
