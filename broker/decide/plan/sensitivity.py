"""A plan and other prices → from which price on another amount of an offer would be bought, exactly.

The least cost is a concave, piecewise linear function of a price, whose slope is what is bought of the offer. Where the
slope changes is found by intersecting tangents, without any grid (Eisner and Severance, "Mathematical techniques for
efficient record segmentation in large shared databases", Journal of the ACM, 1976).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from broker.decide.plan.build import build
from broker.decide.plan.problem import Problem
from broker.decide.plan.solve import solved

FAR = 10.0  # times the dearest offer: nothing is bought for more
SAME = 1e-7  # of a cost or an amount
MOST_TANGENTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRange:
    """Prices of an offer, in dollars a GPU-hour, between which the same amount of it is bought."""

    below_usd: float | None  # below this more is bought; None: at no price
    above_usd: float | None  # above this less is bought; None: at no price


@dataclass(frozen=True, slots=True)
class _Tangent:
    """A line that no plan costs more than: cost(p) <= cost + slope · (p - usd)."""

    usd: float
    cost: float
    slope: float  # GPU-hours bought

    def at(self, usd: float) -> float:
        return self.cost + self.slope * (usd - self.usd)


def price_range(problem: Problem, name: str) -> PriceRange:
    """The prices of an offer between which the plan does not change how much of it is bought.

    The problem must have a plan at its own prices; a budget is left aside.
    """
    free = replace(problem, budget_usd=None, worst_usd=None, whole_nodes=False)
    offer = next(each for each in free.offers if each.name == name)
    here = _tangent(free, name, offer.usd_per_gpu_hour)
    far = FAR * max(each.usd_per_gpu_hour for each in free.offers)
    return PriceRange(below_usd=_turn(free, name, here, 0.0), above_usd=_turn(free, name, here, far))


def _turn(problem: Problem, name: str, here: _Tangent, end: float) -> float | None:
    """The price nearest to `here` on the way to `end` where the slope is another one."""
    there = _tangent(problem, name, end)
    for _ in range(MOST_TANGENTS):
        if abs(there.slope - here.slope) <= SAME * max(abs(here.slope), 1.0):
            return None
        meet = (there.at(0.0) - here.at(0.0)) / (here.slope - there.slope)
        found = _tangent(problem, name, meet)
        if here.at(meet) - found.cost <= SAME * max(abs(found.cost), 1.0):
            return meet
        there = found
    return there.usd


def _tangent(problem: Problem, name: str, usd: float) -> _Tangent:
    model, found, _ = solved(_priced(problem, name, usd))
    dearer = build(_priced(problem, name, usd + 1.0), model.slices, 1.0 if model.unserved else None)
    cheaper = build(_priced(problem, name, usd), model.slices, 1.0 if model.unserved else None)
    rise = dearer.programme.arrays().cost - cheaper.programme.arrays().cost
    return _Tangent(usd, found.cost, float(np.dot(rise, found.values)))


def _priced(problem: Problem, name: str, usd: float) -> Problem:
    offers = (replace(each, usd_per_gpu_hour=usd) if each.name == name else each for each in problem.offers)
    return replace(problem, offers=tuple(offers))
