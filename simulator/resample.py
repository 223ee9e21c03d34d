"""A workload → others that might as well have been: whole weeks of it, drawn with replacement and put in a row.

The block bootstrap of Künsch, The Jackknife and the Bootstrap for General Stationary Observations, 1989. What runs on
past the end of its week goes on into the week that follows.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity import History
from broker.decide.demand import Demand
from broker.decide.workload import Workload

WEEK_S = 7 * 86_400.0


def resampled(history: History, seed: int) -> History:
    """One other history of as many weeks; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if isinstance(history, Demand):
        return _series(history, rng)
    weeks = max(int(np.ceil(history.submit_s.max(initial=0.0) / WEEK_S)), 1)
    week_of = (history.submit_s // WEEK_S).astype(np.int64)
    drawn = rng.integers(0, weeks, weeks)
    rows = [np.flatnonzero(week_of == week) for week in drawn]
    shift = np.concatenate(
        [np.full(len(part), (at - week) * WEEK_S) for at, (week, part) in enumerate(zip(drawn, rows, strict=True))]
    )
    picked = history.take(np.concatenate(rows))
    return Workload(
        submit_s=picked.submit_s + shift,
        duration_s=picked.duration_s,
        gpus=picked.gpus,
        ended=picked.ended,
        user=picked.user,
        kind=picked.kind,
        gpu_type=picked.gpu_type,
    )


def _series(series: Demand, rng: np.random.Generator) -> Demand:
    block = max(round(WEEK_S / series.step_s), 1)
    count = -(-len(series) // block)
    drawn = rng.integers(0, count, count)
    parts = [series.gpus[at * block : (at + 1) * block] for at in drawn]
    return Demand(step_s=series.step_s, gpus=np.concatenate(parts))
