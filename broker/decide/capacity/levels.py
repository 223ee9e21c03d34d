"""Levels of demand, what each expert would have paid for each, and which expert has done best there → GPUs to hold.

In the fluid model of capacity the cost of a cluster is the sum over levels (nodes stacked on each other), so each level
has its own experts' accounts. Accounts of neighbouring levels are read together, as they are alike and each is short;
old entries count less. The cheapest account decides (follow the leader, with discounted losses as in Cesa-Bianchi and
Lugosi, Prediction, Learning, and Games, 2006, section 2.11).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from broker.decide.capacity.experts import NEVER, SEASON, SHARE, experts
from broker.decide.capacity.observe import Seen
from broker.decide.capacity.seasonal import expected
from broker.decide.compiled import compiled
from broker.decide.market import Market
from broker.decide.workload import Floats

HALF_LIFE_S = 14 * 86_400.0  # after which a cost counts half
NEIGHBOURS = 0.3  # levels k (1 ± this) are read together
REVIEW_S = 3_600.0  # how often the leader is looked for
FINE = 128  # levels are one node wide up to this many, and this part of their height above
SLOTS = 24  # of a day, for what returns daily

Ints = npt.NDArray[np.int64]


def elastic(seen: Seen, market: Market) -> Floats:
    """GPUs to hold in each step, in whole nodes, where the cluster may change in every step."""
    signals = _signals(seen, market)
    # Up to the highest that any rule could ask for: where levels end must not tell how high the load will be.
    edges = _edges(float(max(signals.max(initial=0.0), seen.demand.max(initial=0.0))), float(market.node))
    rules = experts()
    return _run(
        signals,
        seen.demand,
        edges,
        (rules.kind, rules.delay, rules.hold, rules.memory),
        (market.cluster, market.serverless, market.boot, 86_400.0 / market.step_s),
        (0.5 ** (market.step_s / HALF_LIFE_S), max(round(REVIEW_S / market.step_s), 1)),
    )


def _signals(seen: Seen, market: Market) -> Floats:
    """GPUs that count as busy, one row a signal: now, in the last step, after a boot as usual by day, by week."""
    last = np.concatenate([[0.0], seen.demand[:-1]])[: len(seen.demand)]
    return np.concatenate([[seen.level, last], expected(seen, market)])


def _edges(peak: float, node: float) -> Floats:
    """Lower edges of the levels up to a peak, and the upper edge of the last; the same whatever the peak."""
    edges = [0.0]
    while edges[-1] < peak or len(edges) < 2:
        edges.append(edges[-1] + node * max(int(edges[-1] / (FINE * node)), 1))
    return np.array(edges)


@compiled
def _run(
    signals: Floats,
    demand: Floats,
    edges: Floats,
    rules: tuple[Ints, Ints, Ints, Floats],
    terms: tuple[float, float, int, float],
    review: tuple[float, int],
) -> Floats:
    """Plays all experts on all levels, one step after another."""
    kind, delay, hold, memory = rules
    cluster, serverless, boot, day = terms
    decay, every = review
    levels, count = len(edges) - 1, len(kind)
    busy, idle = np.zeros((len(signals), levels), np.int64), np.full((len(signals), levels), NEVER)
    share = np.zeros((count, levels))
    season = np.zeros((count, levels, SLOTS))
    asked = np.zeros((count, levels), np.int64)  # steps since it was asked for; 0: not held
    paid = np.zeros((count, levels))
    leader = np.zeros(levels, np.int64)
    held = np.zeros(len(demand))
    for t in range(len(demand)):
        if t and t % every == 0:
            _lead(paid, edges, leader)
        slot, later = int(t % day * SLOTS / day), int((t + boot) % day * SLOTS / day)
        for k in range(levels):
            width = edges[k + 1] - edges[k]
            for s in range(len(signals)):
                _look(busy[s], idle[s], k, (signals[s, t] - edges[k]) / width, cluster / serverless)
            spilled = min(max((demand[t] - edges[k]) / width, 0.0), 1.0)
            for e in range(count):
                if kind[e] == SHARE:
                    wanted = share[e, k] * serverless > cluster
                    share[e, k] += (spilled - share[e, k]) / min(memory[e], t + 1.0)
                elif kind[e] == SEASON:
                    wanted = max(season[e, k, slot], season[e, k, later]) * serverless > cluster
                    season[e, k, slot] += (spilled - season[e, k, slot]) * SLOTS / day / min(memory[e], t / day + 1.0)
                elif asked[e, k]:
                    wanted = idle[kind[e], k] <= hold[e]
                else:
                    wanted = busy[kind[e], k] > delay[e]
                asked[e, k] = asked[e, k] + 1 if wanted else 0
                cost = cluster if wanted else 0.0
                if asked[e, k] <= boot:
                    cost += serverless * spilled
                paid[e, k] = paid[e, k] * decay + cost * width
            if asked[leader[k], k]:
                held[t] += width
    return held


@compiled
def _look(busy: Ints, idle: Ints, k: int, share: float, breakeven: float) -> None:
    """Counts for how many steps in a row a level has been busy, or idle."""
    if min(max(share, 0.0), 1.0) > breakeven:
        busy[k] += 1
        idle[k] = 0
    else:
        busy[k] = 0
        idle[k] += 1


@compiled
def _lead(paid: Floats, edges: Floats, leader: Ints) -> None:
    """Finds the expert that has paid least around each level; the earlier one where two have paid the same."""
    count, levels = paid.shape
    total = np.zeros((count, levels + 1))
    for e in range(count):
        for k in range(levels):
            total[e, k + 1] = total[e, k] + paid[e, k]
    for k in range(levels):
        reach = max(int(NEIGHBOURS * (k + 1)), 1)
        low, high = max(k - reach, 0), min(k + reach + 1, levels)
        best = np.inf
        for e in range(count):
            cost = total[e, high] - total[e, low]
            if cost < best * (1 - 1e-9):
                best = cost
                leader[k] = e
