"""A problem and its plan → what other ways to buy would cost beside it, and how far courses of demand lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from broker.decide.plan import Kind, Plan, Problem
from broker.decide.workload import Floats

NINE_OF_TEN = (0.05, 0.95)  # quantiles between which nine of ten courses of demand lie


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to meet the demand."""

    title: str
    usd: float  # expected
    between_usd: tuple[float, float] | None  # in nine of ten courses of demand; None: there is one course


def options(problem: Problem, plan: Plan) -> tuple[Option, ...]:
    """The plan, and one offer alone, cheapest first."""
    others = sorted(_by_course(problem), key=lambda found: float(problem.weights @ found[1]))
    return (
        Option(title="the plan", usd=plan.cost_usd, between_usd=between(plan.scenario_usd)),
        *(Option(title=name, usd=float(problem.weights @ usd), between_usd=between(usd)) for name, usd in others),
    )


def alternatives(problem: Problem) -> dict[str, float]:
    """What one offer alone would cost where every class may use it and it may be as large as is needed."""
    return {name: float(problem.weights @ usd) for name, usd in _by_course(problem)}


def between(usd: Floats) -> tuple[float, float] | None:
    """Between which amounts nine of ten equally likely courses of demand cost; None where there is only one."""
    if len(usd) < 2:
        return None
    low, high = np.quantile(usd, NINE_OF_TEN)
    return float(low), float(high)


def _by_course(problem: Problem) -> Iterator[tuple[str, Floats]]:
    """Dollars in each course of demand, by the name of the way to buy."""
    gpus = problem.demand.sum(1)
    if any(work.rules != type(work)(name=work.name).rules for work in problem.classes):
        return
    for offer in problem.offers:
        if offer.kind is Kind.SERVERLESS:
            yield f"all {offer.name}", gpus.sum(1) * problem.step_hours * offer.usd_per_hour_up
        else:
            peak = gpus.max() * problem.hours * offer.usd_per_hour_up
            yield f"{offer.name} for the peak", np.full(len(gpus), peak)
