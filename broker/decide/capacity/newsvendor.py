"""Loads that may come, and how likely each is → how many GPUs are worth holding for all of that time.

A newsvendor's problem: a GPU that is held costs its price, one that is missing the price of what replaces it, so hold
up to where the expected share of time in which one more would be busy equals the ratio of these prices, the breakeven
(Arrow, Harris and Marschak, 1951).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.forecast.models import Cases
from broker.decide.workload import Floats


def expected_shares(seen_by: Sequence[Cases], node: int) -> Floats:
    """Expected busy share of each node, stacked on each other, in each of several views, (views, nodes)."""
    shares = [busy_shares(cases.stay, cases.cases, cases.weights, node) for cases in seen_by]
    out = np.zeros((len(shares), max(map(len, shares))))
    for row, each in zip(out, shares, strict=True):
        row[: len(each)] = each
    return out


@compiled
def busy_shares(stay: Floats, cases: Floats, weights: Floats, node: int) -> Floats:
    """Expected busy share of each node, stacked on each other, when any of `stay` comes with any of `cases`.

    `stay` is (paths, slots), all as likely; `cases` (cases, slots), with `weights` (cases,). Loads below 0 are 0.
    """
    peak = 0.0
    for slot in range(stay.shape[1]):
        peak = max(peak, stay[:, slot].max() + cases[:, slot].max())
    whole, part = np.zeros((2, int(peak / node) + 2))
    for c in range(len(cases)):
        for p in range(len(stay)):
            for slot in range(stay.shape[1]):
                load = max(stay[p, slot] + cases[c, slot], 0.0) / node
                full = int(load)
                whole[full] += weights[c]
                part[full] += weights[c] * (load - full)
    above = np.zeros(len(whole))
    for k in range(len(whole) - 2, -1, -1):
        above[k] = above[k + 1] + whole[k + 1]
    shares: Floats = (above + part) / (weights.sum() * stay.size)
    return shares


def worth_holding(shares: Floats, breakeven: float, node: int) -> float:
    """GPUs in whole nodes, of those that are expected to be busy for more than the breakeven."""
    return float(node * np.count_nonzero(shares > breakeven))
