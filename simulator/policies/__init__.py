"""Policies by name: a history and a market → targets. Each says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.decide import clairvoyant
from broker.decide.capacity import History, targets
from broker.decide.demand import Demand, demand
from broker.decide.fixed import all_serverless, best_static, peak
from broker.decide.market import Market, Targets
from simulator.policies.quantiles import cackle, newsvendor
from simulator.policies.reactive import autoscaler, random_ski_rental, ski_rental
from simulator.policies.reservations import reservations


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A way to choose how many GPUs to hold in each step."""

    name: str
    title: str  # for people
    choose: Callable[[History, Market], Targets]
    hindsight: bool = False  # it knows the future: a yardstick, not a choice


def _broker(history: History, market: Market) -> Targets:
    return targets(history, market)


def _clairvoyant(history: History, market: Market) -> Targets:
    busy = history if isinstance(history, Demand) else demand(history, market.step_s)
    return clairvoyant.best(busy, market)


POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="broker", title="the broker", choose=_broker),
        Policy(name="all-serverless", title="all serverless", choose=all_serverless),
        Policy(name="autoscaler", title="reactive autoscaler", choose=autoscaler),
        Policy(name="ski-rental", title="ski rental", choose=ski_rental),
        Policy(name="random-ski-rental", title="ski rental, randomised", choose=random_ski_rental),
        Policy(name="cackle", title="Cackle, dynamic", choose=cackle),
        Policy(name="newsvendor", title="yesterday's fractile", choose=newsvendor),
        Policy(name="reservations", title="online reservations", choose=reservations),
        Policy(name="peak", title="cluster for the peak", choose=peak, hindsight=True),
        Policy(name="best-static", title="best fixed size", choose=best_static, hindsight=True),
        Policy(name="clairvoyant", title="perfect hindsight", choose=_clairvoyant, hindsight=True),
    )
}
DEFAULT = ("broker", "all-serverless", "autoscaler", "ski-rental", "cackle", "newsvendor", "peak", "best-static")
