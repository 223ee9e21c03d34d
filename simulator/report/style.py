"""How reports look: colours that hold on white, in the dark and on paper, and one way to draw a chart."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from simulator.plain import label

CLUSTER, COMMITTED, SERVERLESS, IDLE, SPOT = "#2f7fb5", "#1d4f7c", "#e08a3c", "#9aa7b2", "#5aa469"
INK, GRID = "#7a8894", "rgba(128,140,150,.22)"  # legible on white and on black
STYLE = """
:root { --ink: #1c2733; --soft: #566573; --paper: #fff; --line: #dde3e8; --lead: #eef4f8; --ours: #eaf5ec }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebef; --soft: #9fb0bd; --paper: #12181e; --line: #2b3640; --lead: #1a2530; --ours: #17301f } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 }
h1, p, li, figcaption { overflow-wrap: anywhere }
main { max-width: 1080px; margin: 0 auto; padding: 2.2rem 1.4rem 4rem }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: 1.1rem; border-top: 1px solid var(--line) }
.lead { font-size: 1.25rem; background: var(--lead); border-left: 5px solid #2f7fb5; padding: .9rem 1.2rem }
.terms, .note, figcaption { color: var(--soft) } .terms { margin-top: .3rem } .note, figcaption { font-size: .9rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .8rem }
.figures div { border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem }
.figures b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums }
.figures span { color: var(--soft); font-size: .85rem }
.wide { overflow-x: auto } figure { margin: 1.2rem 0 } li { margin: .25rem 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
thead th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom }
tbody th { font-weight: 400 }
th:first-child { text-align: left } tr.ours, tr.ours th { font-weight: 700; background: var(--ours) }
tr.hindsight, tr.hindsight th { color: var(--soft) } summary { color: var(--soft); cursor: pointer; font-size: .9rem }
@media print { details { display: none } figure, .lead, .figures { break-inside: avoid } main { padding: 0 } }
"""


def drawn(figure: go.Figure, *, x: str, y: str, **layout: Any) -> go.Figure:
    """The figure in the look of all others; `x` and `y` are the titles of its axes. Names are shown as text."""
    wanted: dict[str, Any] = {
        "template": "none",
        "height": 360,
        "margin": {"l": 10, "r": 16, "t": 34, "b": 44},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "family": "system-ui, sans-serif", "size": 13},
        "hovermode": "x unified",
        "hoverlabel": {"namelength": -1},  # whole: names are short already, and cut anew they may end within a letter
    }
    figure.update_layout(**(wanted | layout))
    figure.for_each_trace(lambda each: each.update(name=label(each.name)), lambda each: each.name is not None)
    axes: dict[str, Any] = {"gridcolor": GRID, "zerolinecolor": GRID, "automargin": True, "fixedrange": True}
    figure.update_xaxes(title=x, **axes)
    figure.update_yaxes(title=y, **axes)
    return figure
