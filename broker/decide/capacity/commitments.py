"""A history → GPUs to commit to for each window of weeks, and the elastic cluster on top of them.

A committed GPU pays where it would otherwise have been held or replaced for more than the commitment's price, so the
best number is where the expected busy share of the last GPU equals the ratio of these prices: the fractile of the
newsvendor, as for periods. What may come in weeks is half what it was like before (levels return to where they were)
and half what it is now with the changes that were seen over such spans (levels stay and wander): on recorded clusters
either alone is far off on some, and their mixture near the better on each.
"""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.levels import elastic
from broker.decide.capacity.newsvendor import busy_shares, worth_holding
from broker.decide.capacity.observe import Seen
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats

HALF_LIFE_S = 28 * 86_400.0  # after which a level counts half
CHANGE_HALF_LIFE_S = 56 * 86_400.0  # after which a change counts half
CHANGES = 1 / 2  # of the mixture is the level now with changes
LAG_S = 11_100.0  # changes are read at such spans: no whole part of an hour or a day, or cycles would look like levels
START_S = 86_400.0  # and from such times before now on: at the same time of day
# A commitment must beat its alternative by more than it costs on paper: a plan that errs by a GPU errs for weeks.
ASSURANCE = 0.91  # the part of the elastic GPU's price that a commitment is held against


def with_commitments(seen: Seen, market: Market) -> Targets:
    """Committed GPUs a window, and GPUs held above them in each step. Raises ValueError where none are on offer."""
    if market.commit is None or market.commit_window < 1:
        raise ValueError("this market offers no commitments")
    steps = len(seen.demand)
    sizes = [_size(seen, start, market, market.commit) for start in range(0, steps, market.commit_window)]
    committed = np.repeat(np.array(sizes), market.commit_window)[:steps]
    return Targets(cluster_gpus=elastic(seen.above(committed), market), committed_gpus=committed)


def _size(seen: Seen, now: int, market: Market, commit: float) -> float:
    if now == 0:
        return 0.0
    past, past_weights = _levels(seen.demand, now, market)
    coming, coming_weights = _changes(seen, now, market)
    loads = np.concatenate([past, coming])
    weights = np.concatenate(
        [(1 - CHANGES) * past_weights / past_weights.sum(), CHANGES * coming_weights / coming_weights.sum()]
    )
    otherwise = min(ASSURANCE * market.cluster, market.serverless)
    shares = busy_shares(np.zeros((1, 1)), loads[:, None], weights, 1)
    return worth_holding(shares, commit / otherwise, 1)


def _levels(demand: Floats, now: int, market: Market) -> tuple[Floats, Floats]:
    """Levels of the past, and how much each counts."""
    age_s = np.asarray((now - np.arange(now)) * market.step_s, np.float64)
    return demand[:now], 0.5 ** (age_s / HALF_LIFE_S)


def _changes(seen: Seen, now: int, market: Market) -> tuple[Floats, Floats]:
    """The level now with each change that was seen over a span of up to a window; all spans count the same."""
    apart = max(round(START_S / market.step_s), 1)
    begun = np.arange(now % apart, now, apart)
    spans = np.arange(0, min(market.commit_window, now), max(round(LAG_S / market.step_s), 1))
    then = begun[:, None] + spans
    known = then < now
    age_s = (now - begun[:, None]) * market.step_s
    weights = np.where(known, 0.5 ** (age_s / CHANGE_HALF_LIFE_S), 0.0)
    weights /= np.maximum(weights.sum(0), 1e-12)
    levels = np.maximum(seen.level[now] + seen.demand[np.minimum(then, now - 1)] - seen.level[begun][:, None], 0.0)
    return levels[known], weights[known]
