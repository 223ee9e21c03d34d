"""A problem → the cheapest plan: a two-stage stochastic linear programme, in PuLP, solved by HiGHS.

    minimise   sum_i p_i H x_i  +  sum_w pi_w [ sum_jb p_j H_b y_jbw + sum_kr s_k h_r z_kr ]
    such that  sum_i x_i + sum_j y_jbw + sum_k z_kr >= d_r     for each row r of block b in scenario w

with x_i committed now, y_jbw held in block b once scenario w is known, z_kr bought by the second (GPUs, all of them;
in whole nodes where that is asked for).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import pulp

from broker.decide.plan.collapse import Row, block_hours, rows
from broker.decide.plan.problem import Kind, Offer, Plan, Problem
from broker.model.errors import BrokerError

Key = tuple[str, int, int]


class NoPlan(BrokerError):
    """The problem has no solution, or none was found; the message says which and what to change."""


@dataclass(slots=True)
class _Model:
    """The programme with its variables."""

    lp: pulp.LpProblem
    rows: list[Row]
    committed: dict[str, pulp.LpVariable] = field(default_factory=dict)  # nodes
    held: dict[Key, pulp.LpVariable] = field(default_factory=dict)  # nodes, by offer, block and scenario
    bought: dict[tuple[str, int], pulp.LpVariable] = field(default_factory=dict)  # GPUs, by offer and row
    met: list[pulp.LpConstraint] = field(default_factory=list)  # that a row's demand is


def solve(problem: Problem, *, collapsed: bool = True) -> Plan:
    """The optimal plan. Raises `NoPlan` where limits or the budget leave none, or the solver gives up."""
    model = _build(problem, collapsed=collapsed)
    model.lp.solve(pulp.HiGHS(msg=False, output_flag=False))
    status = pulp.LpStatus[model.lp.status]
    if status != "Optimal":
        raise NoPlan(
            f"no plan meets the demand within the offers' limits and the budget (the solver says {status}): "
            "add a serverless offer without a limit, raise max_gpus, or raise the budget"
        )
    return _read(problem, model)


def _build(problem: Problem, *, collapsed: bool) -> _Model:
    model = _Model(pulp.LpProblem("plan", pulp.LpMinimize), rows(problem, collapsed=collapsed))
    lengths = block_hours(problem)
    for offer in problem.offers:
        if offer.kind is Kind.COMMITTED:
            model.committed[offer.name] = _nodes(problem, model.lp, offer, f"x_{offer.name}")
        elif offer.kind is Kind.HELD:
            for number in range(len(problem.scenarios)):
                for block in range(len(lengths)):
                    key = (offer.name, block, number)
                    model.held[key] = _nodes(problem, model.lp, offer, f"y_{offer.name}_{block}_{number}")
        else:
            for at in range(len(model.rows)):
                name = f"z_{offer.name}_{at}"
                model.bought[offer.name, at] = model.lp.add_variable(name, 0, offer.max_gpus)
    cost = _cost(problem, model, lengths)
    model.lp += cost
    for at, row in enumerate(model.rows):
        met = _supply(problem, model, at, row) >= row.gpus
        model.lp += met, f"demand_{at}"
        model.met.append(met)
    if problem.budget_usd is not None:
        model.lp += cost <= problem.budget_usd, "budget"
    return model


def _nodes(problem: Problem, lp: pulp.LpProblem, offer: Offer, name: str) -> pulp.LpVariable:
    most = None if offer.max_gpus is None else offer.max_gpus / offer.node
    return lp.add_variable(name, 0, most, cat=pulp.LpInteger if problem.whole_nodes else pulp.LpContinuous)


def _cost(problem: Problem, model: _Model, lengths: list[float]) -> pulp.LpAffineExpression:
    offers = {offer.name: offer for offer in problem.offers}
    terms = []
    for name, variable in model.committed.items():
        terms.append((variable, offers[name].usd_per_gpu_hour * offers[name].node * problem.hours))
    for (name, block, number), variable in model.held.items():
        rate = offers[name].usd_per_gpu_hour * offers[name].node * lengths[block]
        terms.append((variable, rate * problem.scenarios[number].weight))
    for (name, at), variable in model.bought.items():
        row = model.rows[at]
        terms.append((variable, offers[name].usd_per_gpu_hour * row.hours * problem.scenarios[row.scenario].weight))
    return pulp.LpAffineExpression(terms)


def _supply(problem: Problem, model: _Model, at: int, row: Row) -> pulp.LpAffineExpression:
    terms = []
    for offer in problem.offers:
        if offer.kind is Kind.COMMITTED:
            terms.append((model.committed[offer.name], offer.node))
        elif offer.kind is Kind.HELD:
            terms.append((model.held[offer.name, row.block, row.scenario], offer.node))
        else:
            terms.append((model.bought[offer.name, at], 1))
    return pulp.LpAffineExpression(terms)


def _read(problem: Problem, model: _Model) -> Plan:
    offers = {offer.name: offer for offer in problem.offers}
    lengths = block_hours(problem)
    committed = {name: variable.value() * offers[name].node for name, variable in model.committed.items()}
    held = {offer.name: np.zeros(len(lengths)) for offer in problem.offers if offer.kind is Kind.HELD}
    used: defaultdict[str, float] = defaultdict(float)
    for name, gpus in committed.items():
        used[name] += gpus * problem.hours
    for (name, block, number), variable in model.held.items():
        gpus = variable.value() * offers[name].node * problem.scenarios[number].weight
        held[name][block] += gpus
        used[name] += gpus * lengths[block]
    for (name, at), variable in model.bought.items():
        row = model.rows[at]
        used[name] += variable.value() * row.hours * problem.scenarios[row.scenario].weight
    cost_of = {offer.name: used[offer.name] * offer.usd_per_gpu_hour for offer in problem.offers}
    # Whole nodes have no duals; those of the relaxed programme are the prices nearest to them.
    prices = (
        solve(replace(problem, whole_nodes=False)).gpu_hour_price if problem.whole_nodes else _prices(problem, model)
    )
    return Plan(
        cost_usd=sum(cost_of.values()),
        committed_gpus=committed,
        held_gpus=held,
        used_hours=dict(used),
        cost_of=cost_of,
        gpu_hour_price=prices,
        next_gpu_usd={name: float(prices.sum()) - offers[name].usd_per_gpu_hour * problem.hours for name in committed},
    )


def _prices(problem: Problem, model: _Model) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What one more GPU of demand through each block would add to the cost, in dollars, over all scenarios."""
    prices = np.zeros(len(block_hours(problem)))
    for at, row in enumerate(model.rows):
        prices[row.block] += model.met[at].pi or 0.0
    return prices
