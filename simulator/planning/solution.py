"""A planning problem → its optimal plan, and the price up to which each offer would be bought."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from broker.decide.plan import Kind, NoPlan, Plan, Problem, solve
from broker.decide.plan.sensitivity import bought_below
from simulator.native_output import silenced_native_output
from simulator.planning.explanation import LITTLE

QUICK = 5_000  # steps in all courses for which prices are looked into unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A plan, and dollars an hour up to which an offer is bought; None: at no price."""

    plan: Plan
    turns: Mapping[str, float | None]  # by offer; empty where it was not looked into
    unbound_usd: float | None = None  # what the cheapest mix costs without commitments; None: the plan makes none


def solution(
    problem: Problem, sensitivity: bool | None = None, progress: Callable[[str], None] = lambda _: None
) -> Solution:
    """Solves it. `sensitivity` asks for the prices; None: where that is quick. `progress` gets a line for each step."""
    with silenced_native_output():
        plan = solve(problem)
        unbound_usd = _without_commitments(problem) if sum(plan.committed_gpus.values()) > LITTLE else None
        turns = {}
        quick = problem.steps * len(problem.scenarios) <= QUICK
        for name in plan.holdings if sensitivity or (sensitivity is None and quick) else ():
            progress(f"looking up to which price {name} is bought")
            turns[name] = bought_below(problem, name)
    return Solution(plan=plan, turns=turns, unbound_usd=unbound_usd)


def _without_commitments(problem: Problem) -> float | None:
    """The cost of the best plan that binds nobody; None where there is none."""
    offers = tuple(replace(each, max_gpus=0.0) if each.kind is Kind.COMMITTED else each for each in problem.offers)
    try:
        return solve(replace(problem, offers=offers, budget_usd=None, worst_usd=None)).cost_usd
    except NoPlan:
        return None
