"""How long jobs wait under each way to run them → the share of jobs that have begun by then."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from simulator.jobs.result import Waits
from simulator.report.document import Chart
from simulator.report.style import drawn

SHORTEST_S = 1.0  # on a logarithmic axis; shorter waits are none


def waits(found: Mapping[str, Waits], says: str) -> Chart:
    """One line for each, by its title."""
    figure = go.Figure()
    for title, each in found.items():
        share = np.cumsum(each.jobs) / max(each.jobs.sum(), 1)
        minutes = np.maximum(each.up_to_s, SHORTEST_S) / 60.0
        figure.add_scatter(x=minutes, y=share, name=title, line={"shape": "hv", "width": 1.6})
    drawn(figure, x="minutes from submission, without the work itself", y="jobs that waited no longer", height=400)
    figure.update_xaxes(type="log")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    return Chart(figure=figure, says=says)
