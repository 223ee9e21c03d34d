"""Demand → how busy each GPU of a cluster of constant size would be, with the breakeven above which it pays."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from broker.decide.workload import Floats
from simulator.report.document import Chart, Table
from simulator.report.style import CLUSTER, INK, drawn
from simulator.traces.describe import busy_shares

ROWS = 12


def load_duration(busy: Floats, breakeven: float) -> Chart | None:
    """None where nothing was ever busy."""
    shares = busy_shares(busy)
    if not len(shares):
        return None
    worth = int(np.count_nonzero(shares > breakeven))
    gpus = np.arange(1, len(shares) + 1)
    figure = go.Figure()
    figure.add_scatter(x=gpus, y=shares, line={"shape": "hv", "color": CLUSTER}, fill="tozeroy", name="busy share")
    figure.add_hline(y=breakeven, line_dash="dash", line_color=INK, annotation_text=f"breakeven {breakeven:.0%}")
    if worth:
        figure.add_vline(x=worth, line_dash="dot", line_color=INK, annotation_text=f"{worth} pay")
    drawn(figure, x="the k-th GPU, stacked from the first to the last needed", y="share of the time that it is busy")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.03])
    rows = [(f"{k + 1}", f"{shares[k]:.1%}") for k in np.unique(np.linspace(0, len(shares) - 1, ROWS).astype(int))]
    says = f"If the size never changed, {worth} GPUs would be busy for more than the breakeven of {breakeven:.0%}."
    return Chart(figure=figure, says=says, numbers=Table(heads=("GPU", "busy"), rows=rows))
