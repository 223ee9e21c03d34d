"""How busy each GPU is and two prices → what every size of a cluster would cost, from none to the peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from simulator.report.document import Chart
from simulator.report.style import CLUSTER, INK, SERVERLESS, drawn
from simulator.study.figures import titled
from simulator.study.workloads import describe

MONTH_H = 730.0
FAR = 1.5  # times the cost of no cluster at all: larger sizes would only make the picture small


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The cost of each size that never changes, with all that it can't serve on serverless."""

    table: pd.DataFrame  # by gpus held: busy_share of the last, held_usd, serverless_usd, total_usd, all of a month
    breakeven: float  # the busy share above which one more GPU pays

    @property
    def best(self) -> int:
        """GPUs of the cheapest size."""
        return int(self.table["total_usd"].idxmin())

    def _far(self) -> int:
        """The size up to which it is drawn."""
        near = self.table["total_usd"] <= FAR * self.table["total_usd"].iloc[0]
        return max(int(self.table.index[near].max()), self.best + 1)

    def figure(self) -> go.Figure:
        """Dollars a month over the size."""
        costs, best, figure = self.table, self.best, go.Figure()
        for part, colour, name in (("held_usd", CLUSTER, "held GPUs"), ("serverless_usd", SERVERLESS, "serverless")):
            line = {"width": 0, "color": colour}
            figure.add_scatter(x=costs.index, y=costs[part], name=name, stackgroup="cost", line=line)
        figure.add_scatter(x=costs.index, y=costs["total_usd"], name="together", line={"color": INK, "width": 2})
        figure.add_vline(x=best, line_dash="dot", line_color=INK, annotation_text=f"{best} GPUs")
        drawn(figure, x="GPUs held all the time", y="dollars a month")
        figure.update_yaxes(tickprefix="$", range=[0, 1.1 * FAR * float(costs["total_usd"].iloc[0])])
        figure.update_xaxes(range=[0, self._far()])
        least, none, most = (float(costs["total_usd"].loc[at]) for at in (best, 0, costs.index[-1]))
        says = (
            f"{best} GPUs held cost least: ${least:,.0f} a month. All on serverless costs ${none:,.0f}; "
            f"a cluster for the peak of {costs.index[-1]} costs ${most:,.0f}."
        )
        return titled(Chart(figure=figure, says=says))


def sizes(jobs: pd.DataFrame, held_usd: float, serverless_usd: float) -> Sizes:
    """What each size would cost a month, at dollars for an hour of a GPU held and for one of serverless work.

    The load-duration curve's answer: exact for GPUs that divide without loss, and for a size that never changes.
    Raises `InvalidInput` as `describe` does.
    """
    shares = describe(jobs).shares().to_numpy()
    held = np.arange(len(shares) + 1)
    beyond = np.concatenate([np.cumsum(shares[::-1])[::-1], [0.0]])
    table = pd.DataFrame(
        {
            "busy_share": np.concatenate([[np.nan], shares]),
            "held_usd": held * held_usd * MONTH_H,
            "serverless_usd": beyond * serverless_usd * MONTH_H,
        },
        index=pd.Index(held, name="gpus"),
    )
    table["total_usd"] = table["held_usd"] + table["serverless_usd"]
    return Sizes(table=table, breakeven=held_usd / serverless_usd if serverless_usd else float("inf"))
