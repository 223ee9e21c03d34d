"""Demand and capacity, step by step → a chart of both; a long course is drawn as its means with its peaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from broker.decide.workload import Floats
from simulator.report.document import Chart
from simulator.report.style import CLUSTER, COMMITTED, SERVERLESS, drawn

POINTS = 1_200  # of a line; more can't be told apart


def over_time(
    busy: Floats, held: Floats, committed: Floats, step_s: float, *, held_by: str, history_steps: int
) -> Chart:
    """Busy GPUs, those held, and of these the committed ones; the history whose cost does not count is shaded."""
    days: Floats = np.arange(len(busy), dtype=np.float64) * step_s / 86_400.0
    x = means(days)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=means(busy), name="busy GPUs", fill="tozeroy", line={"color": SERVERLESS, "width": 1, "shape": "hv"}
    )
    if len(busy) > POINTS:
        peaks = _parts(busy, np.max)
        figure.add_scatter(x=x, y=peaks, name="their peaks", line={"color": SERVERLESS, "width": 0.7, "dash": "dot"})
    if held.any():
        figure.add_scatter(x=x, y=means(held), name=f"held by {held_by}", line={"color": CLUSTER, "width": 1.6})
    if committed.any():
        figure.add_scatter(x=x, y=means(committed), name="committed", line={"color": COMMITTED, "width": 1.6})
    if history_steps:
        upto = history_steps * step_s / 86_400.0
        figure.add_vrect(x0=0, x1=upto, fillcolor="#8794a0", opacity=0.13, line_width=0, annotation_text="history")
    counted = slice(history_steps, None)
    says = f"Demand is {busy[counted].mean():,.1f} GPUs on average and {busy[counted].max():,.0f} at most"
    if held.any():
        says += f"; {held_by} holds {held[counted].mean():,.1f} on average and {held[counted].max():,.0f} at most"
    return Chart(figure=drawn(figure, x="days", y="GPUs"), says=f"{says}.")


def means(values: Floats) -> Floats:
    """Means of as many parts as can be told apart."""
    return _parts(values, np.mean)


def _parts(values: Floats, of: Callable[[Floats], float]) -> Floats:
    if len(values) <= POINTS:
        return values
    return np.array([of(part) for part in np.array_split(values, POINTS)])
