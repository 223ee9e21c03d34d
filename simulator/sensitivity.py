"""A history and a market → what policies would cost over the optimum if serverless were cheaper or dearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from broker.decide.capacity import History
from broker.decide.market import Market
from simulator.compare import compare

BREAKEVENS = (0.3, 0.4, 0.5, 0.6, 0.7)
POLICIES = ("broker", "autoscaler", "newsvendor", "all-serverless")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Each policy decides anew at each breakeven."""

    breakevens: tuple[float, ...]
    ratios: dict[str, tuple[float, ...]]  # by policy: cost over the optimum at each


def sensitivity(history: History, market: Market, names: Sequence[str] = POLICIES) -> Sensitivity:
    """Serverless's price makes the breakeven; the cluster's price and everything else stay."""
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for breakeven in BREAKEVENS:
        comparison = compare(history, replace(market, serverless=market.cluster / breakeven), names)
        for outcome in comparison.outcomes:
            ratios[outcome.policy.name].append(comparison.ratio(outcome))
    return Sensitivity(breakevens=BREAKEVENS, ratios={name: tuple(found) for name, found in ratios.items()})
