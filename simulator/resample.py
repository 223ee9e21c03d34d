"""A workload → others that might as well have been: blocks of it, drawn with replacement and put in a row.

The block bootstrap of Künsch, The Jackknife and the Bootstrap for General Stationary Observations, 1989. What runs on
past the end of its block goes on into the block that follows.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity import History
from broker.decide.demand import Demand
from broker.decide.workload import Workload

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S


def resampled(history: History, seed: int, block_s: float = WEEK_S) -> History:
    """One other history of as many blocks, whole weeks where nothing else is said; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if isinstance(history, Demand):
        return _series(history, rng, block_s)
    blocks = max(int(np.ceil(history.submit_s.max(initial=0.0) / block_s)), 1)
    block_of = (history.submit_s // block_s).astype(np.int64)
    drawn = rng.integers(0, blocks, blocks)
    rows = [np.flatnonzero(block_of == block) for block in drawn]
    shift = np.concatenate(
        [np.full(len(part), (at - block) * block_s) for at, (block, part) in enumerate(zip(drawn, rows, strict=True))]
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


def _series(series: Demand, rng: np.random.Generator, block_s: float) -> Demand:
    block = max(round(block_s / series.step_s), 1)
    count = -(-len(series) // block)
    drawn = rng.integers(0, count, count)
    parts = [series.gpus[at * block : (at + 1) * block] for at in drawn]
    return Demand(step_s=series.step_s, gpus=np.concatenate(parts))
