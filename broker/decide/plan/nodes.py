"""Nodes whose number stays for a while: commitments for a term, what is held for `resize_hours`.

A commitment's first term is chosen now, and is the same in all scenarios; the terms after it, and what is held, are
chosen in each scenario. Nodes are paid throughout, whether they work or not:

    cost  sum_b  price * node * hours_b * nodes_b        0 <= nodes_b <= most / node
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.model import Model
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.problem import Problem
from broker.decide.plan.programme import Ints, Term
from broker.decide.plan.slices import lost
from broker.decide.workload import Floats


def add_nodes(model: Model) -> None:
    """Columns for each block of each offer that is not paid by use, and what they cost."""
    for offer in model.problem.offers:
        if not model.problem.paid_by_use(offer):
            _add(model, offer)


def _add(model: Model, offer: Offer) -> None:
    problem, programme = model.problem, model.programme
    hours, weights = block_hours(problem, offer), problem.weights
    most = _most(problem, offer)
    count, blocks = most.shape
    shared = offer.kind is Kind.COMMITTED
    columns = np.empty((count, blocks), np.int64)
    if shared:
        upper = most[:, 0].min()
        columns[:, 0] = programme.columns(f"commit_{offer.name}", 1, upper=upper, whole=problem.whole_nodes)
        rate = offer.usd_per_hour_up * offer.node * hours[0]
        programme.charge(offer.name, "capacity", columns[:1, 0], rate)
    if (later := most[:, int(shared) :]).size:
        name = f"hold_{offer.name}"
        found = programme.columns(name, later.size, upper=later.ravel(), whole=problem.whole_nodes)
        columns[:, int(shared) :] = found.reshape(later.shape)
        rates = offer.usd_per_hour_up * offer.node * weights[:, None] * hours[int(shared) :]
        programme.charge(offer.name, "capacity", found, rates.ravel())
    model.nodes[offer.name] = columns


def block_hours(problem: Problem, offer: Offer) -> Floats:
    """(blocks,) how much of the horizon each block of an offer is."""
    block = problem.block_steps(offer)
    begins = np.arange(0, problem.steps, block)
    return np.asarray(np.minimum(block, problem.steps - begins) * problem.step_hours, np.float64)


def _most(problem: Problem, offer: Offer) -> Floats:
    """(scenarios, blocks) nodes at most: as many as may be had in every step of the block."""
    begins = np.arange(0, problem.steps, problem.block_steps(offer))
    most = np.full((len(problem.scenarios), len(begins)), np.inf if offer.max_gpus is None else offer.max_gpus)
    for number, scenario in enumerate(problem.scenarios):
        if offer.name in scenario.available:
            least = np.minimum.reduceat(np.asarray(scenario.available[offer.name], np.float64), begins)
            most[number] = np.minimum(most[number], least)
    nodes: Floats = most / offer.node
    return np.floor(nodes + 1e-9) if problem.whole_nodes else nodes


def working(model: Model, offer: Offer) -> list[Term]:
    """GPUs of an offer that can work in each slice: of its nodes, less those that boot."""
    block, step = model.problem.block_steps(offer), model.slices.step
    gpus = offer.working * offer.node
    at = step // block
    terms: list[Term] = [(gpus, model.nodes[offer.name][model.slices.scenario, at])]
    if offer.name not in model.starts:
        return terms
    part = lost(offer, model.problem)
    for back in range(-(-len(part) // block)):
        since = step - (at - back) * block
        inside = since < len(part)
        share = np.where(inside, part[np.minimum(since, len(part) - 1)], 0.0)
        terms.append((-gpus * share, _at(model.starts[offer.name], model.slices.scenario, at - back)))
    return terms


def _at(columns: Ints, scenario: Ints, block: Ints) -> Ints:
    return np.where(block >= 0, columns[scenario, np.maximum(block, 0)], -1)
