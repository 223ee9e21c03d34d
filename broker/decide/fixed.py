"""Policies that hold one size for ever: none, the most that was needed, and the best in hindsight."""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import History, see
from broker.decide.market import Market, Targets


def all_serverless(history: History, market: Market) -> Targets:
    """Holds nothing: each GPU-second is bought when it is needed."""
    return _always(history, market, 0.0)


def peak(history: History, market: Market) -> Targets:
    """Holds what the busiest step needs; that is known with hindsight only."""
    return _always(history, market, see(history, market.step_s).demand.max(initial=0.0))


def best_static(history: History, market: Market) -> Targets:
    """Holds the one size that would have cost least over the counted steps; known with hindsight only."""
    counted = see(history, market.step_s).demand[market.warmup :]
    if not len(counted):
        return _always(history, market, 0.0)
    nodes = 0
    while np.clip(counted / market.node - nodes, 0.0, 1.0).mean() > market.breakeven:
        nodes += 1
    return _always(history, market, float(nodes * market.node))


def _always(history: History, market: Market, gpus: float) -> Targets:
    steps = len(see(history, market.step_s).demand)
    held = np.full(steps, float(np.ceil(gpus / market.node) * market.node))
    return Targets(cluster_gpus=held, committed_gpus=np.zeros(steps))
