"""What each way to buy would cost, if prices were others → lines over the breakeven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from simulator.report.document import Chart, Table
from simulator.report.style import CLUSTER, IDLE, INK, SERVERLESS, SPOT, drawn

COLOURS = {"broker": CLUSTER, "all-serverless": SERVERLESS, "autoscaler": IDLE}


def sensitivity(
    breakevens: Sequence[float], ratios: Mapping[str, Sequence[float]], titles: Mapping[str, str], now: float
) -> Chart:
    """`ratios` are costs over the least possible at each breakeven, by policy; `now` is the breakeven of today."""
    figure = go.Figure()
    for name, values in ratios.items():
        line = {"color": COLOURS.get(name, SPOT), "width": 2.2 if name == "broker" else 1.4}
        figure.add_scatter(x=breakevens, y=[value - 1 for value in values], name=titles[name], line=line)
    figure.add_vline(x=now, line_dash="dot", line_color=INK, annotation_text="here")
    drawn(figure, x="breakeven: the cluster's price over serverless's", y="above the least possible")
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat="+.0%", rangemode="tozero", type="linear", range=[0, _top(ratios)])
    rows = [(titles[name], *(f"{value - 1:+.1%}" for value in values)) for name, values in ratios.items()]
    best = [min(ratios, key=lambda name: ratios[name][k]) for k in range(len(breakevens))]
    wins = [f"{b:.0%}" for b, name in zip(breakevens, best, strict=True) if name == "broker"]
    says = (
        f"{titles.get('broker', 'The broker')} is the cheapest of these at a breakeven of {', '.join(wins)}."
        if wins
        else f"The cheapest of these: {', '.join(titles[name] for name in dict.fromkeys(best))}."
    )
    heads = ("breakeven", *(f"{each:.0%}" for each in breakevens))
    return Chart(figure=figure, says=says[0].upper() + says[1:], numbers=Table(heads=heads, rows=rows))


def _top(ratios: Mapping[str, Sequence[float]]) -> float:
    """Room for what is near: a policy that is far off somewhere must not make the others one line."""
    near = [value - 1 for values in ratios.values() for value in values if value < 1.25]
    return 1.1 * max([*near, 0.05])
