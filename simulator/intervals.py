"""A history and policies → between what each policy's cost over the optimum lies on histories like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from broker.decide.capacity import History
from broker.decide.market import Market
from simulator.compare import compare
from simulator.resample import resampled

BAND = (5, 95)  # percentiles


def intervals(
    history: History, market: Market, names: Sequence[str], replicates: int
) -> dict[str, tuple[float, float]]:
    """The 90 % interval of each policy's ratio, over resampled histories with the seeds 0 to `replicates` - 1."""
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(replicates):
        comparison = compare(resampled(history, seed), market, names)
        for outcome in comparison.outcomes:
            ratios[outcome.policy.name].append(comparison.ratio(outcome))
    low, high = BAND
    return {
        name: (float(np.percentile(values, low)), float(np.percentile(values, high))) for name, values in ratios.items()
    }
