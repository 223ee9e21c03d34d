"""Policies for commitments: reserve what has paid for itself."""

from __future__ import annotations

import numpy as np

from broker.decide.capacity.observe import History, see
from broker.decide.market import Market, Targets
from simulator.policies.allowed import allowed


def reservations(history: History, market: Market) -> Targets:
    """A level is reserved for a window once its hours on demand in the window before cost what reserving would have.

    After the deterministic strategy of Wang, Li and Liang, To Reserve or Not to Reserve: Optimal Online Multi-Instance
    Acquisition in IaaS Clouds, ICAC 2013, where reservations may begin at any time; here they begin with windows.
    Without commitments on offer it follows the load.
    """
    seen = see(history, market.step_s)
    reserved = np.zeros(len(seen.demand))
    if market.commit is not None:
        window = market.commit_window
        for begin in range(window, len(reserved), window):
            before = seen.level[begin - window : begin]
            levels = np.arange(int(before.max(initial=0.0)) + 1)
            on_demand = market.cluster * (np.sort(before)[:, None] > levels).sum(0) if len(levels) < 5_000 else levels
            reserved[begin : begin + window] = np.count_nonzero(on_demand >= market.commit * window)
    rest = allowed(np.maximum(seen.level - reserved, 0.0), market)
    return Targets(cluster_gpus=rest.cluster_gpus, committed_gpus=reserved)
