"""A history → GPUs to commit to for each window of weeks, and the elastic cluster on top of them.

A committed GPU pays where it would otherwise have been held or replaced for more than the commitment's price, so the
best number is where the expected busy share of the last GPU equals the ratio of these prices: the fractile of the
newsvendor, as for periods. What may come in weeks is expected in three ways that count the same: what it was like
before (levels return to where they were); what it is now with the changes that were seen over such spans (levels stay
and wander); jobs that run as long as such jobs last, with what came on earlier days. On recorded clusters each alone is
far off on some, and their mixture near the best on each.
"""

from __future__ import annotations

import math

import numpy as np

from broker.decide.capacity.levels import elastic
from broker.decide.capacity.newsvendor import expected_shares, worth_holding
from broker.decide.capacity.observe import History, Seen
from broker.decide.forecast.models import Cases, alone, jobs
from broker.decide.forecast.past import DAY_S, days_before, known_at
from broker.decide.market import Market, Targets
from broker.decide.workload import Floats

HALF_LIFE_S = 28 * DAY_S  # after which a level counts half
CHANGE_HALF_LIFE_S = 56 * DAY_S  # after which a change counts half
LAG_S = 11_100.0  # changes are read at such spans: no whole part of an hour or a day, or cycles would look like levels
START_S = DAY_S  # and from such times before now on: at the same time of day
SLOT_S = DAY_S / 4  # how finely jobs are looked at
SEED = 1
# A commitment must beat its alternative by more than it costs on paper: a plan that errs by a GPU errs for weeks.
ASSURANCE = 0.91  # the part of the elastic GPU's price that a commitment is held against


def with_commitments(history: History, seen: Seen, market: Market) -> Targets:
    """Committed GPUs a window, and GPUs held above them in each step. Raises ValueError where none are on offer."""
    if market.commit is None or market.commit_window < 1:
        raise ValueError("this market offers no commitments")
    steps = len(seen.demand)
    sizes = [_size(history, seen, start, market, market.commit) for start in range(0, steps, market.commit_window)]
    committed = np.repeat(np.array(sizes), market.commit_window)[:steps]
    return Targets(cluster_gpus=elastic(seen.above(committed), market), committed_gpus=committed)


def _size(history: History, seen: Seen, now: int, market: Market, commit: float) -> float:
    if now == 0:
        return 0.0
    ways = [_levels(seen.demand, now, market)]
    if now * market.step_s >= DAY_S:
        ways += [_changes(seen, now, market), _jobs(history, now, market)]
    otherwise = min(ASSURANCE * market.cluster, market.serverless)
    return worth_holding(expected_shares(ways, 1).mean(axis=0), commit / otherwise, 1)


def _levels(demand: Floats, now: int, market: Market) -> Cases:
    """Levels of the past; how much each counts falls with its age."""
    age_s = np.asarray((now - np.arange(now)) * market.step_s, np.float64)
    weights = 0.5 ** (age_s / HALF_LIFE_S)
    return alone(demand[:now, None], weights / weights.sum())


def _changes(seen: Seen, now: int, market: Market) -> Cases:
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
    weights = weights[known]
    return alone(levels[known][:, None], weights / weights.sum())


def _jobs(history: History, now: int, market: Market) -> Cases:
    """Jobs that run, as long as such jobs last, with what came on earlier days."""
    now_s = now * market.step_s
    ahead = math.ceil(market.commit_window * market.step_s / SLOT_S)
    then = days_before(known_at(history, now_s), now_s, SLOT_S, ahead, np.random.default_rng(SEED))
    return jobs(then, len(then) - 1)
