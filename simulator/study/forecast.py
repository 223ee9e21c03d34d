"""Jobs → how busy it will be, with bands, drawn behind the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from broker.decide.demand import Demand, demand
from broker.decide.forecast import Forecast
from broker.decide.forecast import forecast as foreseen
from broker.decide.workload import Floats
from simulator.planning.scenarios import SEED, end_s
from simulator.report.document import Chart
from simulator.report.over_time import means
from simulator.report.style import CLUSTER, INK, drawn
from simulator.study.figures import titled
from simulator.study.workloads import TABLE
from simulator.traces.own_csv import history_of

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
DAY_S = 86_400.0
BAND = ("rgba(47,127,181,.18)", "rgba(47,127,181,.32)")  # 90 % and 50 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A forecast of busy GPUs, as paths, with its quantiles and its chart."""

    result: Forecast
    past: Floats  # GPUs busy in each step before it

    @property
    def reason(self) -> str:
        """Why one thinks so, and how often the band held."""
        return self.result.reason

    def quantiles(self) -> pd.DataFrame:
        """GPUs that are not exceeded with the probability that a column names, by day from now."""
        days = np.arange(self.result.paths.shape[1]) * self.result.step_s / DAY_S
        return pd.DataFrame(self.result.quantiles(LEVELS).T, columns=LEVELS, index=pd.Index(days, name="days"))

    def figure(self, shown_days: float = 21.0) -> go.Figure:
        """The last days of the past, and the bands."""
        table, figure, step_s = self.quantiles(), go.Figure(), self.result.step_s
        past = self.past[-round(shown_days * DAY_S / step_s) :]
        before: Floats = np.arange(-len(past), 0, dtype=np.float64) * step_s / DAY_S
        figure.add_scatter(x=means(before), y=means(past), name="seen", line={"color": INK, "width": 1.2})
        for low, high, fill, name in ((0.05, 0.95, BAND[0], "9 of 10"), (0.25, 0.75, BAND[1], "5 of 10")):
            figure.add_scatter(x=table.index, y=table[low], line={"width": 0}, showlegend=False, hoverinfo="skip")
            figure.add_scatter(
                x=table.index, y=table[high], name=name, fill="tonexty", fillcolor=fill, line={"width": 0}
            )
        figure.add_scatter(x=table.index, y=table[0.5], name="middle", line={"color": CLUSTER, "width": 2})
        figure.add_vline(x=0, line_dash="dot", line_color=INK)
        drawn(figure, x="days from now", y="GPUs busy")
        middle, low, high = (float(table[level].mean()) for level in (0.5, 0.05, 0.95))
        says = f"{middle:,.1f} GPUs are expected to be busy on average; in nine of ten hours {low:,.1f} to {high:,.1f}."
        return titled(Chart(figure=figure, says=says))


def forecast(jobs: pd.DataFrame, days: float, step_s: float = 3_600.0) -> Foreseen:
    """How busy it will be for so many days after the end of the table, from what it holds alone.

    The same table gives the same forecast. Raises `InvalidInput` as `describe` does.
    """
    history = history_of(jobs, TABLE, step_s)
    now_s = end_s(history, step_s)
    steps = max(round(days * DAY_S / step_s), 1)
    found = foreseen(history, now_s, steps, step_s, np.random.default_rng(SEED))
    busy = history.gpus if isinstance(history, Demand) else demand(history, step_s).gpus
    return Foreseen(result=found, past=busy[: round(now_s / step_s)])
