"""Policies that follow the load: autoscalers, and renting until buying would have been cheaper."""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import History, see
from broker.decide.compiled import compiled
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats
from simulator.policies.allowed import allowed

IDLE_TIMEOUT_S = 300.0
_DRAWS = 10_007  # thresholds that are drawn beforehand, as many whatever the trace, and used in turn


def autoscaler(history: History, market: Market) -> Targets:
    """What runs now, until a node has been idle for five minutes: Ray's autoscaler and KubeRay's, by their defaults.

    `idle_timeout_minutes: 5` in Ray's cluster launcher (KubeRay: `idleTimeoutSeconds`, 60, which is less than a step).
    """
    level = see(history, market.step_s).level
    kept = max(round(IDLE_TIMEOUT_S / market.step_s), 1)
    if not len(level):
        return allowed(level, market)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(kept), level]), kept + 1)
    return allowed(windows.max(1), market)


def ski_rental(history: History, market: Market) -> Targets:
    """A node is bought once renting it has cost what its boot costs, and kept until idling has cost as much again.

    Karlin, Manasse, Rudolph and Sleator, Competitive snoopy caching, 1988: at most twice the best in hindsight.
    """
    return allowed(_rent(see(history, market.step_s).level, *_terms(market), np.ones(1)), market)


def random_ski_rental(history: History, market: Market) -> Targets:
    """The same with thresholds drawn anew, of density e^x / (e - 1) on [0, 1]: e / (e - 1) in expectation.

    Karlin, Manasse, McGeoch and Owicki, Competitive randomized algorithms for nonuniform problems, 1994.
    """
    level = see(history, market.step_s).level
    drawn = np.log1p(np.random.default_rng(1).random(_DRAWS) * (np.e - 1))
    return allowed(_rent(level, *_terms(market), drawn), market)


def _terms(market: Market) -> tuple[float, float, float]:
    boot = market.cluster * max(market.boot, 1)
    return float(market.node), (market.serverless - market.cluster) / boot, market.cluster / boot


@compiled
def _rent(level: Floats, width: float, renting: float, idling: float, thresholds: Floats) -> Floats:
    """Nodes are stacked; each pays rent when it is missing and idles when it is not needed, in parts of a boot."""
    held = np.zeros(len(level))
    count = int(level.max() / width) + 1 if len(level) else 0
    spent = np.zeros(count)
    up = np.zeros(count, np.bool_)
    for t in range(len(level)):
        for k in range(count):
            busy = min(max((level[t] - k * width) / width, 0.0), 1.0)
            if up[k]:
                spent[k] = spent[k] + idling if busy == 0 else 0.0
            else:
                spent[k] = spent[k] + renting * busy if busy > 0 else 0.0
            if spent[k] > thresholds[(t + k) % len(thresholds)]:
                up[k] = not up[k]
                spent[k] = 0.0
            if up[k]:
                held[t] += width
    return held
