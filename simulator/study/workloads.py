"""A file, or a seed → a table of jobs; a table of jobs → what a planner looks at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from broker.decide.demand import Demand
from broker.decide.workload import Floats, Workload
from broker.model.errors import InvalidInput
from simulator.report import trace as drawn
from simulator.report.document import Chart
from simulator.report.load_duration import load_duration
from simulator.report.over_time import over_time
from simulator.study.figures import titled
from simulator.traces import describe as described
from simulator.traces.any_format import read
from simulator.traces.own_csv import history_of, table_of
from simulator.traces.synth import synth as made_up

TABLE = "the table of jobs"


def read_trace(source: str, form: str | None = None) -> pd.DataFrame:
    """A file as `broker trace import` reads it, also compressed, or a series of busy GPUs (`time_s` and a level).

    Columns: `submit_s`, `duration_s`, `gpus`, and where known `user`, `kind`, `gpu_type`. `form` names the format where
    the file does not tell. Raises `InvalidInput` with file, line and column.
    """
    if form is None and source != "-" and source.removesuffix(".gz").endswith(".csv"):
        table = table_of(source, source)
        if "time_s" in table.columns:
            return table
    return read(source, form)


def synth(kind: str = "mixed", days: float = 60.0, gpus: float = 16.0, seed: int = 0) -> pd.DataFrame:
    """Made-up jobs, as `broker trace synth` makes them: training, serving, sweeps, bursty or mixed.

    Raises `InvalidInput` for a kind that does not exist.
    """
    try:
        return made_up(kind, days, gpus, seed)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def grown(jobs: pd.DataFrame, factor: float, seed: int = 0) -> pd.DataFrame:
    """So many times the jobs: each is repeated, on average `factor` times, within an hour of when it came.

    A series of busy GPUs is multiplied. The same seed gives the same jobs. Raises `InvalidInput` for a factor below 0.
    """
    if factor < 0:
        raise InvalidInput(f"growth by a factor of {factor} can't be: it must be at least 0")
    if "time_s" in jobs.columns:
        level = next(column for column in jobs.columns if column != "time_s")
        return jobs.assign(**{level: jobs[level] * factor})
    rng = np.random.default_rng(seed)
    times = np.floor(factor) + (rng.random(len(jobs)) < factor % 1)
    more = jobs.loc[jobs.index.repeat(times.astype(int))]
    first = ~more.index.duplicated()
    later_s = np.where(first, 0.0, rng.uniform(0.0, 3_600.0, len(more)))
    return more.assign(submit_s=more["submit_s"] + later_s).sort_values("submit_s", ignore_index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is in a trace."""

    facts: Mapping[str, Any]  # as `broker trace describe --json` prints them; sizes in GPUs, times in seconds
    busy: Floats  # GPUs, in each step of five minutes
    history: Workload | Demand

    def over_time(self) -> go.Figure:
        """Busy GPUs over time."""
        nothing = np.zeros(len(self.busy))
        return titled(over_time(self.busy, nothing, nothing, described.STEP_S, held_by="", history_steps=0))

    def load_duration(self) -> go.Figure:
        """How busy each GPU would be, stacked from the first to the last needed, with the breakeven."""
        return titled(load_duration(self.busy, self.facts["breakeven"]) or _empty())

    def week(self) -> go.Figure:
        """Busy GPUs by hour of the week."""
        return titled(drawn.week_chart(self.busy, self.facts))

    def durations(self) -> go.Figure:
        """How long jobs run. Raises `InvalidInput` for a series, which has no jobs."""
        if isinstance(self.history, Demand):
            raise InvalidInput("a series of busy GPUs has no jobs")
        return titled(drawn.histogram(self.history.duration_s, "how long they run"))

    def shares(self) -> pd.Series:
        """Of each GPU, stacked from the first to the last needed: for which share of the time it is busy."""
        found = described.busy_shares(self.busy)
        return pd.Series(found, index=pd.RangeIndex(1, len(found) + 1, name="gpu"), name="busy_share")


def describe(jobs: pd.DataFrame, breakeven: float = 0.45) -> Description:
    """Looks at a table of jobs or a series; `breakeven` is the busy share above which a GPU is worth holding.

    Raises `InvalidInput` with line and column for what is no number.
    """
    history = history_of(jobs, TABLE)
    return Description(facts=described.describe(history, breakeven), busy=described.busy_gpus(history), history=history)


def _empty() -> Chart:
    return Chart(figure=go.Figure(), says="Nothing was ever busy.")
