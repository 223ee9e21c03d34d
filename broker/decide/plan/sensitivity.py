"""A plan and other prices → up to which price an offer is bought at all, exactly.

The least cost is a concave, piecewise linear function of a price, of whole nodes as of parts, whose slope is what is
bought of the offer. Where the slope becomes 0 is found by intersecting tangents, without any grid (Eisner and
Severance, "Mathematical techniques for efficient record segmentation in large shared databases", Journal of the ACM,
1976).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from broker.decide.plan.build import build
from broker.decide.plan.partition import undone_usd
from broker.decide.plan.problem import Problem
from broker.decide.plan.separate import part_of
from broker.decide.plan.solve import solved

FAR = 1_000.0  # times the dearest offer: what is bought for more is bought at any price
SAME = 1e-7  # of a cost or an amount
MOST_TANGENTS = 60
MOST_STEPS = 1_000  # in all courses, of a programme of whole nodes that is solved again and again


@dataclass(frozen=True, slots=True)
class _Tangent:
    """A line that no plan costs more than: cost(p) <= cost + slope · (p - usd)."""

    usd: float
    cost: float
    slope: float  # GPU-hours bought


def in_parts(problem: Problem) -> bool:
    """Whether nodes are taken to come in parts here, though they are bought whole: else it would take very long."""
    return problem.whole_nodes and problem.steps * len(problem.scenarios) > MOST_STEPS


def bought_below(problem: Problem, name: str) -> float | None:
    """The price, in dollars a GPU-hour, below which any of an offer is bought, all other prices as they are.

    Infinite where nothing can take its place; None where it is bought at no price. The problem must have a plan at its
    own prices; limits on money are left aside, and whole nodes where `in_parts` says so.
    """
    whole = problem.whole_nodes and not in_parts(problem)
    free = part_of(replace(problem, budget_usd=None, worst_usd=None, whole_nodes=whole), name)
    if free is None:
        return None
    far = _tangent(free, name, FAR * max(each.usd_per_gpu_hour for each in free.offers))
    if far.slope > SAME:
        return float("inf")
    there = _tangent(free, name, 0.0)
    for _ in range(MOST_TANGENTS):
        if there.slope <= SAME:
            return None
        meet = there.usd + (far.cost - there.cost) / there.slope
        found = _tangent(free, name, meet)
        if far.cost - found.cost <= SAME * max(abs(far.cost), 1.0):
            return meet
        there = found
    return there.usd


def _tangent(problem: Problem, name: str, usd: float) -> _Tangent:
    model, found, _ = solved(_priced(problem, name, usd))
    undone = undone_usd(model) if model.unserved else None  # as it is there, so that it is no part of the rise
    dearer = build(_priced(problem, name, usd + 1.0), model.slices, undone)
    rise = dearer.programme.arrays().cost - model.programme.arrays().cost
    return _Tangent(usd, found.cost, float(np.dot(rise, found.values)))


def _priced(problem: Problem, name: str, usd: float) -> Problem:
    offers = (replace(each, usd_per_gpu_hour=usd) if each.name == name else each for each in problem.offers)
    return replace(problem, offers=tuple(offers))
