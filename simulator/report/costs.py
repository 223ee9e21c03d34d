"""Ways to buy and what each costs, part by part → stacked bars, cheapest at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from simulator.plain import label
from simulator.report.document import Chart
from simulator.report.style import INK, drawn

LABELLED = 0.9  # of the width: there is room for a label beside bars that end before it
FAR = 4.0  # times the floor: dearer bars are cut off, or the others could not be told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One way to buy: its title, and what it costs, part by part."""

    title: str
    parts: Mapping[str, float]  # what is paid, by part
    label: str  # beside the bar

    @property
    def total(self) -> float:
        """The sum of its parts."""
        return sum(self.parts.values())


def costs(bars: Sequence[Bar], colours: Mapping[str, str], *, unit: str, says: str, floor: float | None) -> Chart:
    """Bars in the given order; `floor` is the least that could have been paid, where it is known."""
    shown = list(reversed(bars))
    near = [bar.total for bar in bars if not floor or bar.total < FAR * floor] or [bar.total for bar in bars]
    widest = 1.18 * max([*near, floor or 0.0]) or 1.0
    figure, places = go.Figure(), list(range(len(shown)))
    for part, colour in colours.items():
        values = [bar.parts.get(part, 0.0) for bar in shown]
        if any(values):
            figure.add_bar(y=places, x=values, name=part, orientation="h", marker_color=colour)
    for bar, place in zip(shown, places, strict=True):
        beyond = bar.total > widest * LABELLED  # the label stands in the bar then
        figure.add_annotation(
            x=widest if beyond else bar.total,
            y=place,
            text=f"{bar.label} " if beyond else f" {bar.label}",
            font={"color": "white"} if beyond else None,
            showarrow=False,
            xanchor="right" if beyond else "left",
        )
    if floor:
        figure.add_vline(x=floor, line_dash="dot", line_color=INK)
    drawn(figure, x=unit, y="", barmode="stack", height=110 + 38 * len(shown), hovermode="y unified")
    figure.update_xaxes(range=[0, widest])
    # By their places: a name may look like a number or a date, or like another.
    figure.update_yaxes(tickmode="array", tickvals=places, ticktext=[label(bar.title) for bar in shown])
    return Chart(figure=figure, says=says)
