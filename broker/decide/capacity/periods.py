"""A history → GPUs to hold for each whole period (a day), where the cluster may change size only between periods.

What may come is what several models of the forecast see, each trusted by what its own sizes would have cost in earlier
periods; the newsvendor's rule makes a size of it.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.newsvendor import expected_shares, worth_holding
from broker.decide.capacity.observe import History, Seen
from broker.decide.forecast.hedge import trust
from broker.decide.forecast.models import MODELS, PRIOR_WEIGHTS
from broker.decide.forecast.past import past
from broker.decide.market import Market
from broker.decide.workload import Floats

SLOTS = 24  # of a period
SEED = 1


def by_period(history: History, seen: Seen, market: Market) -> Floats:
    """GPUs to hold in each step, in whole nodes; the same within a period of `market.resize_every` steps."""
    steps, every = len(seen.demand), market.resize_every
    if not steps:
        return np.zeros(0)
    period_s = every * market.step_s
    starts_s: Floats = np.arange(-(-steps // every), dtype=np.float64) * period_s
    then = past(history, starts_s, period_s, period_s / SLOTS, SLOTS, np.random.default_rng(SEED))
    prior = np.array([PRIOR_WEIGHTS[name] for name in MODELS])
    sizes, costs = np.zeros(len(starts_s)), np.zeros((len(starts_s), len(MODELS)))
    sizes[0] = np.floor(then.level[0] / market.node) * market.node
    for i in range(1, len(starts_s)):
        shares = expected_shares([model(then, i) for model in MODELS.values()], market.node)
        sizes[i] = worth_holding(trust(prior, costs[1:i]) @ shares, market.breakeven, market.node)
        demand = seen.demand[i * every : (i + 1) * every]
        costs[i] = [_cost(worth_holding(each, market.breakeven, market.node), demand, market) for each in shares]
    return np.repeat(sizes, every)[:steps]


def _cost(size: float, demand: Floats, market: Market) -> float:
    return float(market.cluster * size * len(demand) + market.serverless * np.maximum(demand - size, 0.0).sum())
