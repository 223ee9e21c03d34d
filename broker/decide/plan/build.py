"""A problem over slices → its programme: each feature in turn adds its columns, rows and charges."""

from __future__ import annotations

from broker.decide.plan.cold_starts import add_cold_starts, starts_cold
from broker.decide.plan.limits import add_limits, add_money
from broker.decide.plan.model import Model
from broker.decide.plan.nodes import add_nodes
from broker.decide.plan.problem import Problem
from broker.decide.plan.ramps import add_starts
from broker.decide.plan.serving import add_capacity, add_demand, add_use
from broker.decide.plan.slices import Slices, slices
from broker.decide.plan.unserved import add_unserved
from broker.decide.plan.waiting import add_waiting, window

STRUCTURE = (add_nodes, add_starts)
IN_SLICES = (add_use, add_waiting, add_cold_starts, add_capacity, add_demand, add_limits, add_money)


def build(problem: Problem, parts: Slices, unserved_usd: float | None = None) -> Model:
    """The whole programme; with a price of a GPU-hour left undone, where work need not be done.

    What waits or starts cold needs slices that are steps, in order: see `in_order`.
    """
    model = Model(problem, parts)
    for add in STRUCTURE:
        add(model)
    model.structural = model.programme.width
    if unserved_usd is not None:
        add_unserved(model, unserved_usd)
    for add in IN_SLICES:
        add(model)
    return model


def modelled(problem: Problem, *, collapsed: bool = True, unserved_usd: float | None = None) -> Model:
    """The programme of a problem, in which equal steps are one where they do not follow each other."""
    return build(problem, slices(problem, collapsed=collapsed and not in_order(problem)), unserved_usd)


def in_order(problem: Problem) -> bool:
    """Whether steps follow each other in the programme, so that equal ones can't be one."""
    waits = any(window(work, problem) for work in problem.classes)
    return waits or any(starts_cold(offer) for offer in problem.offers)
