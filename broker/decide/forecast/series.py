"""A series of levels, of which no jobs are known → jobs that would give it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from broker.decide.demand import Demand
from broker.decide.workload import Floats, Workload

SHOWN = 1 - 1e-6  # of a step: when its level shows
FINEST_GPUS = 0.25  # the smallest slice of a level that is a job of its own
FINE = 64  # slices are as wide as this part of their height, where that is more


def as_jobs(series: Demand) -> Workload:
    """Jobs that would give a series of levels, to half a slice: each slice of the level is a job as long as it is busy.

    The last slice to come is the first to go. What is up at the end has not ended. The level of a step is known when
    the step is over, so rises and falls show just before its end.
    """
    levels = np.asarray(series.gpus, dtype=np.float64)
    edges = _edges(float(levels.max(initial=0.0)))
    begun, over, gpus = [], [], []
    for low, high in pairwise(edges):
        change = np.diff(np.concatenate([[0], levels > (low + high) / 2, [0]]).astype(np.int8))
        begun.append(np.flatnonzero(change > 0))
        over.append(np.flatnonzero(change < 0))
        gpus.append(np.full(len(begun[-1]), high - low))
    submit, end = np.concatenate(begun), np.concatenate(over)
    return Workload.of(
        (submit + SHOWN) * series.step_s,
        (end - submit) * series.step_s,
        np.concatenate(gpus),
        ended=end < len(levels),
    )


def _edges(peak: float) -> Floats:
    """Edges of slices up to a peak: the same ones whatever the peak, so that a later peak changes nothing before it."""
    edges = [0.0]
    while edges[-1] < peak or len(edges) < 2:
        edges.append(edges[-1] + max(FINEST_GPUS, 2.0 ** np.floor(np.log2(max(edges[-1], 1.0) / FINE))))
    return np.array(edges)
