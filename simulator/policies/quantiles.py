"""Policies that hold a quantile of what was: yesterday's, and the one that has done best so far."""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import History, see
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats
from simulator.policies.allowed import allowed

DAY_S = 86_400.0

_LOOKBACKS_S = (300.0, 900.0, 3_600.0, 4 * 3_600.0, DAY_S)
_PERCENTILES = (25, 50, 60, 70, 80, 90, 95, 100)
_MULTIPLIERS = (0.5, 0.75, 1.0, 1.25, 1.5)
_LEARNING = 0.1  # of the multiplicative weights
_EVERY_S = 3_600.0  # how often the weights are updated


def newsvendor(history: History, market: Market) -> Targets:
    """Yesterday's fractile: the size that would have been best over the last day (Arrow, Harris, Marschak, 1951)."""
    busy = see(history, market.step_s).demand
    day = max(round(DAY_S / market.step_s), 1)
    return allowed(_rolling(busy, day, 100 * (1 - market.breakeven)), market)


def cackle(history: History, market: Market) -> Targets:
    """Cackle's dynamic strategy: of a family, percentile × lookback × multiplier, the one that has cost least so far.

    Perron, Castro Fernandez, DeWitt, Cafarella and Madden, Cackle: Analytical Workload Cost and Performance Stability
    With Elastic Pools, SIGMOD 2023. Weights are multiplicative in what each strategy would have paid.
    """
    busy = see(history, market.step_s).demand
    family = np.array(
        [
            np.ceil(multiplier * _rolling(busy, max(round(lookback / market.step_s), 1), percentile))
            for lookback in _LOOKBACKS_S
            for percentile in _PERCENTILES
            for multiplier in _MULTIPLIERS
        ]
    )
    every = max(round(_EVERY_S / market.step_s), 1)
    wanted = np.zeros(len(busy))
    weights = np.ones(len(family))
    late = np.concatenate([family[:, :1].repeat(market.boot, 1), family], 1)[:, : len(busy)]  # usable after a boot
    for begin in range(0, len(busy), every):
        span = slice(begin, begin + every)
        wanted[span] = family[np.argmax(weights), span]
        paid = market.cluster * family[:, span] + market.serverless * np.maximum(
            busy[span] - np.minimum(family[:, span], late[:, span]), 0.0
        )
        cost = paid.sum(1)
        weights *= np.exp(-_LEARNING * (cost - cost.min()) / max(cost.mean(), 1e-12))
        weights /= weights.max()
    return allowed(wanted, market)


def _rolling(busy: Floats, steps: int, percentile: float) -> Floats:
    """The percentile of the steps before each, of as many as there were."""
    if not len(busy):
        return busy
    padded = np.concatenate([np.zeros(steps), busy[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, steps)
    return np.asarray(np.percentile(windows, percentile, axis=1), np.float64)
