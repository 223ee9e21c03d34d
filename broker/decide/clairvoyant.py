"""Demand and a market → the least it could have cost with hindsight, and the targets that would have cost it.

Levels of demand, one node high, are stacked and each is decided for itself, exactly, by dynamic programming over two
states: held and not held. Where the cluster may change only between periods, or commitments last for windows, the best
size of each is found by trying all that could be best. No policy can cost less: the cluster is free to be of any size
when the counted steps begin.
"""

from __future__ import annotations

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.demand import Demand
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats


def optimum(demand: Demand, market: Market) -> float:
    """The least cost of the steps after the warm-up, in the market's unit of money."""
    busy = demand.gpus[market.warmup :]
    hours = market.step_s / 3_600.0
    if market.resize_every > 1:
        pieces = [busy[at : at + market.resize_every] for at in range(0, len(busy), market.resize_every)]
        return hours * sum(min(_fixed_cost(piece, size, market) for size in _sizes(piece, market)) for piece in pieces)
    if market.commit is None:
        return hours * float(_levels(busy, market)[0].sum())
    total = 0.0
    for at in range(0, len(busy), market.commit_window):
        window = busy[at : at + market.commit_window]
        committed = market.commit * market.node * len(window)
        total += float(np.minimum(_levels(window, market)[0], committed).sum())
    return hours * total


def best(demand: Demand, market: Market) -> Targets:
    """Targets made with hindsight over all steps, warm-up included; what they cost approaches the optimum."""
    busy, none = demand.gpus, np.zeros(len(demand))
    if market.resize_every > 1:
        sizes = []
        for at in range(0, len(busy), market.resize_every):
            piece = busy[at : at + market.resize_every]
            sizes.append(min((_fixed_cost(piece, size, market), size) for size in _sizes(piece, market))[1])
        return Targets(cluster_gpus=np.repeat(np.array(sizes), market.resize_every)[: len(busy)], committed_gpus=none)
    if market.commit is None:
        return Targets(cluster_gpus=_levels(busy, market)[1], committed_gpus=none)
    committed = none.copy()
    for at in range(0, len(busy), market.commit_window):
        window = slice(at, at + market.commit_window)
        costs = _levels(busy[window], market)[0]
        pays = costs > market.commit * market.node * len(busy[window])
        committed[window] = market.node * np.count_nonzero(pays)
    rest = np.maximum(busy - committed, 0.0)
    return Targets(cluster_gpus=_levels(rest, market)[1], committed_gpus=committed)


def _sizes(busy: Floats, market: Market) -> Floats:
    """Sizes between which the cost of a period is linear: the best is one of them."""
    nodes = busy / market.node
    return np.unique(np.concatenate([[0.0], np.ceil(nodes), np.floor(nodes)])) * market.node


def _fixed_cost(busy: Floats, size: float, market: Market) -> float:
    return float(market.cluster * size * len(busy) + market.serverless * np.maximum(busy - size, 0.0).sum())


def _levels(busy: Floats, market: Market) -> tuple[Floats, Floats]:
    """The least cost of each level, in GPU-steps, and the GPUs that are asked for in each step to have it."""
    count = max(int(np.ceil(busy.max(initial=0.0) / market.node)), 1)
    return _by_level(busy, count, float(market.node), market.boot, market.cluster, market.serverless)


@compiled
def _by_level(
    busy: Floats, count: int, width: float, boot: int, cluster: float, serverless: float
) -> tuple[Floats, Floats]:
    costs, asked = np.zeros(count), np.zeros(len(busy) + boot)
    began, ended = np.zeros(len(busy) + 1, np.bool_), np.zeros(len(busy) + 1, np.bool_)
    for k in range(count):
        held, free = 0.0, 0.0  # the least cost so far, of being held in the last step and of not being held
        for t in range(len(busy)):
            spilled = serverless * min(max(busy[t] - k * width, 0.0), width)
            anew = free + cluster * boot * width
            began[t], ended[t] = anew < held, held < free
            held, free = min(held, anew) + cluster * width, min(free, held) + spilled
        costs[k] = min(held, free)
        up = held < free
        for t in range(len(busy) - 1, -1, -1):
            if up:
                asked[t] += width
                if began[t]:
                    up = False
                    for before in range(max(t - boot, 0), t):
                        asked[before] += width
            elif ended[t]:
                up = True
    return costs, asked[: len(busy)]
