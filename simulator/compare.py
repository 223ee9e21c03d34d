"""A history, a market and policies → what each would have cost, beside the least that it could have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.decide import clairvoyant, fluid
from broker.decide.capacity import History
from broker.decide.demand import Demand, demand
from broker.decide.market import Market, Targets
from broker.model.errors import InvalidInput
from simulator.policies import POLICIES, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one policy held and cost."""

    policy: Policy
    targets: Targets
    cost: fluid.Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All policies on one history under one market; the cheapest that needs no hindsight first."""

    market: Market
    demand: Demand
    optimum: float
    outcomes: tuple[Outcome, ...]

    def ratio(self, outcome: Outcome) -> float:
        """Cost over the optimum; 1 where nothing was to be paid by either."""
        return outcome.cost.total / self.optimum if self.optimum else 1.0 if not outcome.cost.total else float("inf")


def busy_gpus(history: History, market: Market) -> Demand:
    """The GPUs that are busy in each step: the demand to be met."""
    return history if isinstance(history, Demand) else demand(history, market.step_s)


def compare(history: History, market: Market, names: Sequence[str]) -> Comparison:
    """Plays policies. Raises `InvalidInput` where nothing is left after the market's warm-up."""
    busy = busy_gpus(history, market)
    if len(busy) <= market.warmup:
        days, needed = len(busy) * market.step_s / 86_400, market.warmup * market.step_s / 86_400
        raise InvalidInput(f"the trace covers {days:.1f} days; the first {needed:.0f} are history: more are needed")
    outcomes = []
    for name in names:
        found = POLICIES[name].choose(history, market)
        outcomes.append(Outcome(policy=POLICIES[name], targets=found, cost=fluid.cost(busy, market, found)))
    ordered = sorted(outcomes, key=lambda outcome: (outcome.policy.hindsight, outcome.cost.total))
    return Comparison(market=market, demand=busy, optimum=clairvoyant.optimum(busy, market), outcomes=tuple(ordered))
