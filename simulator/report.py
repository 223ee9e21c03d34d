"""Comparisons → a page that opens in a browser, offline: what each policy costs, why, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go

from broker.decide.workload import Floats
from simulator.compare import Comparison, Outcome
from simulator.outcomes import Bands, in_words, terms
from simulator.traces.describe import busy_shares

COLOURS = {"cluster": "#2f6f9f", "committed": "#1d3f5e", "serverless": "#e08a3c"}
POINTS = 2_000  # of a line; more are not seen
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1080px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem }
h2 { margin-top: 3rem; border-top: 1px solid #d9e0e6; padding-top: 1.2rem }
.lead { font-size: 1.2rem; background: #eef4f8; border-left: 4px solid #2f6f9f; padding: .8rem 1.1rem }
.terms, .note { color: #5a6a78 } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .35rem .7rem; border-bottom: 1px solid #e4e9ed }
th { color: #5a6a78; font-weight: 600 }
th:first-child, td:first-child { text-align: left } tr.ours { font-weight: 700; background: #eef7ee }
tr.hindsight { color: #8794a0 }
"""
NOTES = """
<p class="note">Costs are in GPU-hours of the on-demand cluster. The first two weeks of the trace are history: policies
see them, and their cost does not count. Capacity divides without loss, nothing waits, and data need not move: see "When
not to believe it" in the documentation on capacity. Policies marked * know the future: yardsticks, not choices.
Over hindsight: how much more than the least that any policy could have paid.</p>
"""


def page(trace: str, found: Mapping[str, Comparison], bands: Bands) -> str:
    """The whole page, with its scripts inside."""
    parts = [f"<h1>What {escape(trace)} would have cost</h1>"]
    with_script = True
    for name, comparison in found.items():
        figures = [_costs(comparison), _over_time(comparison), _load_duration(comparison)]
        parts += [
            f"<h2>{escape(name)}</h2><p class='terms'>{escape(terms(comparison))}</p>",
            f"<p class='lead'>{escape(in_words(comparison))}</p>",
            _table(comparison, bands.get(name, {})),
        ]
        for figure in figures:
            if figure is not None:
                parts.append(
                    figure.to_html(full_html=False, include_plotlyjs=with_script, config={"displaylogo": False})
                )
                with_script = False
    body = "\n".join([*parts, NOTES])
    head = f"<meta charset='utf-8'><title>{escape(trace)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'>{head}{body}"


def _table(comparison: Comparison, bands: Mapping[str, tuple[float, float]]) -> str:
    rows = []
    for outcome in comparison.outcomes:
        cost, band = outcome.cost, bands.get(outcome.policy.name)
        kind = "ours" if outcome.policy.name == "broker" else "hindsight" if outcome.policy.hindsight else ""
        cells = (
            _title(outcome),
            f"{cost.total:,.0f}",
            f"{comparison.ratio(outcome) - 1:+.1%}",
            f"{band[0] - 1:+.1%} … {band[1] - 1:+.1%}" if band else "",
            f"{cost.cluster:,.0f}",
            f"{cost.committed:,.0f}",
            f"{cost.serverless:,.0f}",
        )
        rows.append(f"<tr class='{kind}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    heads = ("policy", "cost", "over hindsight", "90 % interval", "cluster", "committed", "serverless")
    return "<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>" + "".join(rows) + "</table>"


def _title(outcome: Outcome) -> str:
    return escape(outcome.policy.title) + (" *" if outcome.policy.hindsight else "")


def _costs(comparison: Comparison) -> go.Figure:
    """Stacked bars, cheapest at the top; what is far dearer than the rest is cut off by the axis, and labelled."""
    shown = list(reversed(comparison.outcomes))
    figure = go.Figure()
    for part, colour in COLOURS.items():
        values = [getattr(outcome.cost, part) for outcome in shown]
        if any(values):
            titles = [_title(outcome) for outcome in shown]
            figure.add_bar(y=titles, x=values, name=part, orientation="h", marker_color=colour)
    sensible = [o.cost.total for o in comparison.outcomes if comparison.ratio(o) < 4] or [comparison.optimum]
    widest = 1.12 * max(sensible)
    for outcome in shown:
        figure.add_annotation(
            x=min(outcome.cost.total, widest * 0.9),
            y=_title(outcome),
            text=f" {comparison.ratio(outcome) - 1:+.1%}",
            showarrow=False,
            xanchor="left",
            bgcolor="rgba(255,255,255,0.7)",
        )
    figure.add_vline(
        x=comparison.optimum, line_dash="dot", annotation_text="perfect hindsight", annotation_position="bottom right"
    )
    figure.update_xaxes(range=[0, widest], title="cost, in cluster GPU-hours")
    return _drawn(figure, "Cost by policy", barmode="stack", height=120 + 42 * len(shown))


def _over_time(comparison: Comparison) -> go.Figure | None:
    outcome = next((each for each in comparison.outcomes if not each.policy.hindsight), None)
    if outcome is None:
        return None
    days: Floats = np.arange(len(comparison.demand), dtype=np.float64) * comparison.market.step_s / 86_400.0
    held = outcome.cost.usable + outcome.targets.committed_gpus
    figure = go.Figure()
    x, busy = _thinned(days), _thinned(comparison.demand.gpus)
    figure.add_scatter(x=x, y=busy, name="busy GPUs", fill="tozeroy", line={"color": COLOURS["serverless"], "width": 1})
    figure.add_scatter(
        x=x, y=_thinned(held), name=f"held by {outcome.policy.title}", line={"color": COLOURS["cluster"], "width": 1.3}
    )
    if outcome.targets.committed_gpus.any():
        committed = _thinned(outcome.targets.committed_gpus)
        figure.add_scatter(x=x, y=committed, name="committed", line={"color": COLOURS["committed"], "width": 1.5})
    counted = comparison.market.warmup * comparison.market.step_s / 86_400.0
    figure.add_vrect(x0=0, x1=counted, fillcolor="#8794a0", opacity=0.12, line_width=0, annotation_text="history")
    figure.update_xaxes(title="days")
    figure.update_yaxes(title="GPUs", rangemode="tozero")
    return _drawn(figure, "Capacity against demand")


def _load_duration(comparison: Comparison) -> go.Figure | None:
    shares = busy_shares(comparison.demand.gpus[comparison.market.warmup :])
    if not len(shares):
        return None
    breakeven = comparison.market.breakeven
    worth = int(np.count_nonzero(shares > breakeven))
    figure = go.Figure()
    gpus = np.arange(1, len(shares) + 1)
    figure.add_scatter(
        x=gpus, y=shares, line={"shape": "hv", "color": COLOURS["cluster"]}, fill="tozeroy", name="busy share"
    )
    figure.add_hline(y=breakeven, line_dash="dash", annotation_text=f"breakeven {breakeven:.0%}")
    figure.add_vline(x=worth, line_dash="dot", annotation_text=f"{worth} GPUs are busy for more")
    figure.update_xaxes(title="the k-th GPU")
    figure.update_yaxes(title="share of the time that it is busy", tickformat=".0%", range=[0, 1.02])
    return _drawn(figure, "How busy each GPU would be, if the size never changed")


def _thinned(values: Floats) -> Floats:
    """Means of as many parts as can be told apart."""
    if len(values) <= POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, POINTS)])


def _drawn(figure: go.Figure, title: str, **layout: object) -> go.Figure:
    wanted: dict[str, object] = {
        "title": title,
        "template": "plotly_white",
        "height": 420,
        "margin": {"l": 10, "r": 20, "t": 60, "b": 40},
        "legend": {"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right"},
    }
    figure.update_layout(**(wanted | layout))
    figure.update_yaxes(automargin=True)
    return figure
