"""A history → GPUs to hold for each whole period (a day), where the cluster may change size only between periods.

A newsvendor's problem: a GPU held for a period costs the cluster's price, one that is missing serverless's, so the best
size is where the expected share of the period in which more would be busy equals the breakeven (Arrow, Harris and
Marschak, 1951). What may come is the load of the jobs that run, as long as such jobs last, with that of the jobs that
came in each earlier period, recent ones and those of the same weekday counting more.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import History, Seen
from broker.decide.demand import Demand
from broker.decide.forecast.loads import PATHS, arrivals, as_jobs, survivors
from broker.decide.market import Market
from broker.decide.workload import Floats

SLOTS = 24  # of a period
HALF_LIFE = 5.0  # periods after which what came counts half
LOOK_BACK = 60  # periods; what came before counts for next to nothing
SAME_WEEKDAY = 3.0  # how much more it counts when it came on the same day of the week
WEEK_S = 7 * 86_400.0


def by_period(history: History, seen: Seen, market: Market) -> Floats:
    """GPUs to hold in each step, in whole nodes; the same within a period of `market.resize_every` steps."""
    steps = len(seen.demand)
    period_s = market.resize_every * market.step_s
    starts_s: Floats = np.arange(-(-steps // market.resize_every), dtype=np.float64) * period_s
    jobs = as_jobs(history) if isinstance(history, Demand) else history
    stay = survivors(jobs, starts_s, period_s / SLOTS, SLOTS)
    come = arrivals(jobs.submit_s, jobs.end_s, jobs.gpus, starts_s, period_s / SLOTS, SLOTS)
    sizes = []
    for i, now_s in enumerate(starts_s):
        before = slice(max(i - LOOK_BACK, 0), i)
        sizes.append(_size(stay[i], come[before], _weights(starts_s[before], now_s, period_s), market))
    return np.repeat(np.array(sizes), market.resize_every)[:steps]


def _weights(starts_s: Floats, now_s: float, period_s: float) -> Floats:
    alike = (now_s - starts_s) % WEEK_S < period_s / 2
    age = (now_s - starts_s) / period_s - 1
    weights: Floats = 0.5 ** (age / HALF_LIFE) * np.where(alike, SAME_WEEKDAY, 1.0)
    return weights


def _size(stay: Floats, come: Floats, weights: Floats, market: Market) -> float:
    """The size at which the last node's expected busy share is the breakeven."""
    if not len(come):
        come, weights = np.zeros((1, SLOTS)), np.ones(1)
    loads = (stay[None] + come[:, None]).ravel()
    return newsvendor(loads, np.repeat(weights, PATHS * SLOTS), market.breakeven, market.node)


def newsvendor(loads: Floats, weights: Floats, breakeven: float, node: int) -> float:
    """GPUs in whole nodes, up to the last node that is expected to be busy for more than the breakeven."""
    order = np.argsort(loads)
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    edges = np.arange(int(loads.max() / node) + 2) * float(node)
    # The integral of the share of loads above each height, from 0 to each edge: its increments are the busy shares.
    heights = np.concatenate([[0.0], loads[order]])
    above = np.concatenate([[0.0], np.cumsum((1 - below[:-1] / below[-1]) * np.diff(heights))])
    share = np.diff(np.interp(edges, heights, above)) / node
    return float(node * np.count_nonzero(share > breakeven))
