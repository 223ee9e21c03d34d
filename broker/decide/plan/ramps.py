"""Starts of nodes: what grows costs a start, boots before it works, and is paid for a minimum.

    starts_b >= nodes_b - nodes_(b-1)
    nodes_b  >= sum of starts_b' whose minimum is not over in b      (minimum billing)

The second row is the one of Rajan and Takriti, "Minimum up/down polytopes of the unit commitment problem" (2005). What
of a minimum lies after the horizon is charged to the start. What boots is taken off in `nodes.working`.
"""

from __future__ import annotations

import numpy as np

from broker.decide.plan.model import Model
from broker.decide.plan.offers import Kind, Offer
from broker.decide.plan.programme import Ints, Term


def add_starts(model: Model) -> None:
    """Columns for starts, what they cost and what they oblige to, of offers where starts matter."""
    for offer in model.problem.offers:
        if offer.kind is Kind.HELD and offer.ramps and offer.name in model.nodes:
            _add(model, offer)


def _add(model: Model, offer: Offer) -> None:
    nodes, programme = model.nodes[offer.name], model.programme
    count, blocks = nodes.shape
    upper = np.full((count, blocks), np.inf)
    if offer.running_gpus is None:
        upper[:, 0] = 0.0
    found = programme.columns(f"start_{offer.name}", nodes.size, upper=upper.ravel())
    starts = model.starts[offer.name] = found.reshape(nodes.shape)
    if offer.running_gpus is not None:
        here: list[Term] = [(1.0, starts[:, 0]), (-1.0, nodes[:, 0])]
        programme.rows(f"first_{offer.name}", here, lower=-offer.running_gpus / offer.node)
    if blocks > 1:
        later = [(1.0, starts[:, 1:]), (-1.0, nodes[:, 1:]), (1.0, nodes[:, :-1])]
        programme.rows(f"grow_{offer.name}", [(value, each.ravel()) for value, each in later], lower=0.0)
    _charge(model, offer, starts)
    _keep(model, offer, nodes, starts)


def _charge(model: Model, offer: Offer, starts: Ints) -> None:
    problem = model.problem
    weights = np.repeat(problem.weights, starts.shape[1])
    model.programme.charge(offer.name, "starts", starts.ravel(), offer.start_usd * weights)
    ends = np.arange(starts.shape[1]) * problem.block_steps(offer) + _minimum_steps(model, offer)
    after = np.maximum(ends - problem.steps, 0) * problem.step_hours
    usd = offer.usd_per_gpu_hour * offer.node * np.tile(after, starts.shape[0]) * weights
    model.programme.charge(offer.name, "minimum", starts.ravel(), usd)


def _keep(model: Model, offer: Offer, nodes: Ints, starts: Ints) -> None:
    """No fewer nodes than have started within the minimum."""
    back = -(-_minimum_steps(model, offer) // model.problem.block_steps(offer))
    if back <= 1:
        return
    count, blocks = nodes.shape
    terms: list[Term] = [(1.0, nodes.ravel())]
    for ago in range(min(back, blocks)):
        shifted = np.full((count, blocks), -1)
        shifted[:, ago:] = starts[:, : blocks - ago]
        terms.append((-1.0, shifted.ravel()))
    model.programme.rows(f"keep_{offer.name}", terms, lower=0.0)


def _minimum_steps(model: Model, offer: Offer) -> int:
    """The minimum, in whole steps begun."""
    return int(np.ceil(offer.minimum_hours / model.problem.step_hours - 1e-9))
