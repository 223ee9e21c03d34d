"""A problem and its plan → what buying one offer alone would cost, and how costs vary across demand scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from broker.decide.plan import Class, Kind, Offer, Plan, Problem
from broker.decide.plan.classes import speed
from broker.decide.workload import Floats

OF_KIND = {
    Kind.COMMITTED: "committed for the peak",
    Kind.HELD: "held for the peak",
    Kind.SERVERLESS: "all serverless",
}
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
    """What one offer alone would cost where every class may use it and it may be as large as is needed.

    Where classes are bound to GPU models, what one kind of offer would: each class on what does its work cheapest.
    """
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
    if any(work.speeds for work in problem.classes):
        yield from _by_kind(problem)
        return
    if any(_bound(work) for work in problem.classes):
        return
    for offer in problem.offers:
        title = f"all {offer.name}" if offer.kind is Kind.SERVERLESS else f"{offer.name} for the peak"
        yield title, _usd(problem, offer, gpus)


def _usd(problem: Problem, offer: Offer, gpus: Floats) -> Floats:
    """What an offer costs in each course: for what is used of it, or for the most that is needed, all the time."""
    if offer.kind is Kind.SERVERLESS:
        used: Floats = gpus.sum(1) * problem.step_hours * offer.usd_per_hour_up
        return used
    return np.full(len(gpus), gpus.max() * problem.hours * offer.usd_per_hour_up)


def _bound(work: Class) -> bool:
    """Whether anything but the GPU model matters to a class."""
    return replace(work, speeds={}).rules != Class(name=work.name).rules


def _by_kind(problem: Problem) -> Iterator[tuple[str, Floats]]:
    """The same for each kind of offer, where classes differ by their GPU models and by nothing else."""
    if any(_bound(work) for work in problem.classes):
        return
    for kind, title in OF_KIND.items():
        offers = [offer for offer in problem.offers if offer.kind is kind]
        used = [
            min((o for o in offers if speed(o, work) > 0), key=partial(_dear, work), default=None)
            for work in problem.classes
        ]
        needed: dict[Offer, Floats] = {}
        for work, offer, gpus in zip(problem.classes, used, problem.demand.swapaxes(0, 1), strict=True):
            if offer is not None:
                needed[offer] = needed.get(offer, np.zeros_like(gpus)) + gpus / speed(offer, work)
        if None not in used:
            yield title, np.sum([_usd(problem, offer, gpus) for offer, gpus in needed.items()], axis=0)


def _dear(work: Class, offer: Offer) -> float:
    """What an hour of a class's work costs on an offer."""
    return offer.usd_per_hour_up / speed(offer, work)
