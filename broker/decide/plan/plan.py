"""What a plan says: how much of each offer in each period, what it costs, and what GPU-hours are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.decide.plan.offers import Kind, Offer
from broker.decide.workload import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How much of one offer is bought. What is chosen later is an expectation over the scenarios."""

    offer: Offer
    now_gpus: float  # as the plan begins; of a commitment: the one to make now
    gpus: Floats  # (periods,) bought, on average over a period
    busy_gpus: Floats  # (periods,) of them at work
    gpu_hours: float  # bought over the horizon
    busy_gpu_hours: float
    cost_of: Mapping[str, float]  # dollars by part: capacity, starts, minimum (billed after the horizon)
    gpu_hour_worth: Floats  # (periods,) what one GPU-hour of it more would save: the dual of its capacity
    next_gpu_usd: float  # what one GPU more now would save; for what is not committed: one more of its max_gpus
    obliged_usd: float  # of commitments made now: to be paid after the horizon

    @property
    def cost_usd(self) -> float:
        """All of its parts."""
        return sum(self.cost_of.values())

    @property
    def busy_share(self) -> float | None:
        """Of what is bought; None where nothing is."""
        return self.busy_gpu_hours / self.gpu_hours if self.gpu_hours > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadDuration:
    """Hours sorted by how much is needed in them, most first, in points of equal length."""

    share: Floats  # (points,) of the time, at the middle of each
    gpus: Floats  # (points,) needed, of all classes
    by_offer: Mapping[str, Floats]  # (points,) at work of each offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to buy."""

    cost_usd: float  # expected
    scenario_usd: Floats  # (scenarios,) what it costs in each
    gap: float  # how much cheaper another plan might at most be, as a share of the cost: what is not proved
    holdings: Mapping[str, Holding]  # by offer
    period_hours: Floats  # (periods,) how long each is
    classes: tuple[str, ...]
    demand_gpus: Floats  # (classes, periods) expected
    gpu_hour_price: Floats  # (classes, periods) what one GPU-hour of work more would cost: the dual of demand
    limit_usd: Mapping[str, float]  # what raising a limit by one unit would save, where that is not 0
    load_duration: LoadDuration
    rows: int  # of hours in the programme that was solved, after what is equal has become one

    @property
    def committed_gpus(self) -> Mapping[str, float]:
        """By committed offer: to commit to now."""
        return {name: each.now_gpus for name, each in self.holdings.items() if each.offer.kind is Kind.COMMITTED}

    @property
    def cost_of(self) -> Mapping[str, float]:
        """Dollars by offer."""
        return {name: each.cost_usd for name, each in self.holdings.items()}

    @property
    def used_hours(self) -> Mapping[str, float]:
        """GPU-hours that are bought of each offer."""
        return {name: each.gpu_hours for name, each in self.holdings.items()}
