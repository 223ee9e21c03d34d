"""A problem without a solution → which constraint leaves none, and what to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from broker.decide.plan.build import modelled
from broker.decide.plan.classes import why_not
from broker.decide.plan.highs import Solution, Status, optimum
from broker.decide.plan.model import Model
from broker.decide.plan.problem import Problem

MISSING = 1e-6  # GPUs


def why_no_plan(problem: Problem, found: Solution) -> str:
    """What binds, in words."""
    if found.status is Status.UNBOUNDED:
        return "the cost has no lower end: a price must be below 0"
    if found.status is Status.FAILED:
        return f"the solver gave up ({found.said}): fewer steps, scenarios or whole nodes make the problem easier"
    return _unmet(problem) or _money(problem) or f"no plan meets all limits (the solver says {found.said})"


def _unmet(problem: Problem) -> str:
    """Where demand can't be met whatever it costs."""
    free = replace(problem, budget_usd=None, worst_usd=None, commitments_usd=None, whole_nodes=False)
    model = modelled(free, unserved_usd=1.0)
    arrays = model.programme.arrays()
    undone = np.concatenate(list(model.unserved.values()))
    cost = np.zeros_like(arrays.cost)
    cost[undone] = arrays.cost[undone]
    found = optimum(replace(arrays, cost=cost))
    for name, columns in model.unserved.items():
        missing = found.values[columns]
        if len(missing) and missing.max() > MISSING:
            return _said(model, name, int(np.argmax(missing)), float(missing.max()))
    return ""


def _said(model: Model, name: str, at: int, missing: float) -> str:
    problem = model.problem
    number = [work.name for work in problem.classes].index(name)
    step, needed = int(model.slices.step[at]), float(model.slices.demand[number, at])
    work = problem.classes[number]
    usable = [offer for offer in problem.offers if not why_not(offer, work)]
    who = f"class {name}" if len(problem.classes) > 1 else "the demand"
    text = f"{who} needs {needed:.6g} GPUs in step {step}, of which {missing:.6g} can't be had: "
    if not usable:
        reasons = "; ".join(f"{offer.name}: {why_not(offer, work)}" for offer in problem.offers)
        return f"{text}it may use none of the offers ({reasons}). Add an offer that it may use"
    caps = [f"{offer.name} has max_gpus {offer.max_gpus:g}" for offer in usable if offer.max_gpus is not None]
    caps += [f"{offer.name} has max_gpu_hours {offer.max_gpu_hours:g}" for offer in usable if offer.max_gpu_hours]
    caps += [f"limit {limit.name} binds {', '.join(limit.offers)}" for limit in problem.limits]
    caps += [f"{offer.name} has to boot first" for offer in usable if offer.running_gpus is not None]
    advice = "add a serverless offer without a limit, raise max_gpus, or let work wait"
    return f"{text}{'; '.join(caps) or 'what there is of its offers is not enough'}. To go on, {advice}"


def _money(problem: Problem) -> str:
    """Which limit on money leaves no plan, and what the least is without it."""
    limits = (
        ("worst_usd", "no scenario", problem.worst_usd, replace(problem, worst_usd=None, budget_usd=None)),
        (
            "commitments_usd",
            "what commitments oblige to pay",
            problem.commitments_usd,
            replace(problem, commitments_usd=None, budget_usd=None),
        ),
    )
    for field, says, most, free in limits:
        if most is None:
            continue
        found = optimum(modelled(free).programme.arrays())
        if found.status is Status.OPTIMAL:
            return (
                f"{field}: {says} may cost more than ${most:,.2f}, and no plan keeps to that: without it the least "
                f"expected cost is ${found.cost:,.2f}. Raise {field}, or let work wait"
            )
    return ""
