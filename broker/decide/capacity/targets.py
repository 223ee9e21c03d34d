"""A history and a market → targets: the one policy, with the part of it that the market's terms ask for."""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.commitments import with_commitments
from broker.decide.capacity.levels import elastic
from broker.decide.capacity.observe import History, see
from broker.decide.capacity.periods import by_period
from broker.decide.market import Market, Targets


def targets(history: History, market: Market, until_s: float | None = None) -> Targets:
    """GPUs to hold in each step of the history; with `until_s`, also in the one that begins then.

    Element t depends on nothing that happened after step t began.
    """
    seen = see(history, market.step_s, until_s)
    if market.commit is not None:
        return with_commitments(history, seen, market)
    none = np.zeros(len(seen.demand))
    if market.resize_every > 1:
        return Targets(cluster_gpus=by_period(history, seen, market), committed_gpus=none)
    return Targets(cluster_gpus=elastic(seen, market), committed_gpus=none)
