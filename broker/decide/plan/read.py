"""A solved programme → the plan that it says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from broker.decide.plan.at_work import at_work
from broker.decide.plan.highs import Solution
from broker.decide.plan.limits import obliged, owners
from broker.decide.plan.model import Model
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.plan import Holding, LoadDuration, Plan
from broker.decide.workload import Floats

POINTS = 200  # of a load-duration curve
NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class _Solved:
    """A model with its solution, and the prices: those of the relaxed programme where nodes are whole."""

    model: Model
    found: Solution
    prices: Solution
    at_work: dict[str, Floats]  # (slices,) GPUs by offer

    def busy(self, offer: Offer) -> Floats:
        """(slices,) GPUs of an offer at work."""
        return self.at_work[offer.name]

    def bought(self, offer: Offer) -> Floats:
        """(slices,) GPUs of an offer that are paid."""
        if offer.name not in self.model.nodes:
            return self.busy(offer)
        at = self.model.slices.step // self.model.problem.block_steps(offer)
        nodes: Floats = self.found.values[self.model.nodes[offer.name][self.model.slices.scenario, at]]
        return nodes * offer.node

    def by_period(self, values: Floats) -> Floats:
        """(periods,) the expectation of what slices hold, on average over each period."""
        of_step = np.tensordot(self.model.problem.weights, values[self.model.slices.of_step], 1)
        periods = self.model.problem.periods()
        found: Floats = np.bincount(periods, weights=of_step) / np.bincount(periods)
        return found

    def per_hour(self, duals: Floats) -> Floats:
        """(periods,) duals of the slices' rows as dollars an hour, in expectation."""
        return self.by_period(duals / self.model.weight)


def read(model: Model, found: Solution, prices: Solution, rows: int) -> Plan:
    """What the columns and rows say, by offer, class and period."""
    solved = _Solved(model, found, prices, at_work(model, found.values))
    problem = model.problem
    costs = _costs(model, found)
    demand = [solved.by_period(row) for row in model.slices.demand]
    prices_of = [solved.per_hour(prices.row_duals[model.met[work.name]]) for work in problem.classes]
    return Plan(
        cost_usd=found.cost,
        scenario_usd=_scenario_costs(model, found),
        gap=max(found.cost - found.bound, 0.0) / max(abs(found.cost), NOTHING) if found.cost > found.bound else 0.0,
        holdings={offer.name: _holding(solved, offer, costs[offer.name]) for offer in problem.offers},
        period_hours=np.asarray(np.bincount(problem.periods()) * problem.step_hours, np.float64),
        classes=tuple(work.name for work in problem.classes),
        demand_gpus=np.stack(demand),
        gpu_hour_price=np.stack(prices_of),
        limit_usd=_limits(model, prices),
        load_duration=_load_duration(solved),
        rows=rows,
    )


def _holding(solved: _Solved, offer: Offer, cost_of: dict[str, float]) -> Holding:
    model, hours = solved.model, solved.model.weight
    bought, busy = solved.bought(offer), solved.busy(offer)
    capacity, committed = model.capacity.get(offer.name), offer.kind is Kind.COMMITTED
    first = model.slices.of_step[:, 0]
    now = float(model.problem.weights @ bought[first])
    beyond = obliged(model, offer) - offer.usd_per_hour_up * model.problem.block_steps(offer) * model.problem.step_hours
    return Holding(
        offer=offer,
        now_gpus=now,
        gpus=solved.by_period(bought),
        busy_gpus=solved.by_period(busy),
        gpu_hours=float(hours @ bought),
        busy_gpu_hours=float(hours @ busy),
        cost_of=cost_of,
        gpu_hour_worth=solved.per_hour(
            -solved.prices.row_duals[capacity] if capacity is not None else np.zeros(len(hours))
        ),
        next_gpu_usd=_next_gpu(solved, offer),
        obliged_usd=max(beyond, 0.0) * now if committed else 0.0,
    )


def _next_gpu(solved: _Solved, offer: Offer) -> float:
    """By reduced costs: of the commitment to be made now; else of the bounds that `max_gpus` sets."""
    model, prices = solved.model, solved.prices
    if offer.kind is Kind.COMMITTED:
        return float(-prices.reduced[model.nodes[offer.name][0, 0]] / offer.node)
    if offer.name in model.nodes:
        return float(np.maximum(-prices.reduced[model.nodes[offer.name]], 0.0).sum() / offer.node)
    rows = model.capacity.get(offer.name)
    return 0.0 if rows is None else float(-prices.row_duals[rows].sum())


def _costs(model: Model, found: Solution) -> dict[str, dict[str, float]]:
    costs: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for charge in model.programme.charges:
        usd = float(charge.usd @ found.values[charge.columns])
        costs[charge.offer][charge.part] = costs[charge.offer].get(charge.part, 0.0) + usd
    return costs


def _scenario_costs(model: Model, found: Solution) -> Floats:
    owner, weights = owners(model), model.problem.weights
    costs = np.zeros(len(weights))
    for charge in model.programme.charges:
        usd, of = charge.usd * found.values[charge.columns], owner[charge.columns]
        costs += usd[of < 0].sum()
        costs += np.bincount(of[of >= 0], weights=usd[of >= 0], minlength=len(weights)) / weights
    return costs


def _limits(model: Model, prices: Solution) -> dict[str, float]:
    worth = {name: float(-prices.row_duals[rows].sum()) for name, rows in model.limits.items()}
    return {name: usd for name, usd in worth.items() if usd > NOTHING}


def _load_duration(solved: _Solved) -> LoadDuration:
    """Slices sorted by what is needed in them, cut into parts of the same length."""
    model = solved.model
    total = model.slices.demand.sum(0)
    order = np.argsort(-total, kind="stable")
    edges = np.concatenate([[0.0], np.cumsum(model.weight[order])])
    points = min(POINTS, len(order))
    cuts = np.linspace(0.0, edges[-1], points + 1)

    def of(values: Floats) -> Floats:
        area = np.concatenate([[0.0], np.cumsum((values * model.weight)[order])])
        cut: Floats = np.diff(np.interp(cuts, edges, area)) / np.diff(cuts)
        return cut

    return LoadDuration(
        share=(cuts[1:] + cuts[:-1]) / 2 / edges[-1],
        gpus=of(total),
        by_offer={offer.name: of(solved.busy(offer)) for offer in model.problem.offers},
    )
