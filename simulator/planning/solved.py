"""A problem → its plan, and up to which price each offer would be bought."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.decide.plan import Plan, Problem, solve
from broker.decide.plan.sensitivity import bought_below
from simulator.quiet import quiet

QUICK = 5_000  # steps in all courses for which prices are looked into unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A plan, and dollars an hour up to which an offer is bought; None: at no price."""

    plan: Plan
    turns: Mapping[str, float | None]  # by offer; empty where it was not looked into


def solved(
    problem: Problem, sensitivity: bool | None = None, progress: Callable[[str], None] = lambda _: None
) -> Solved:
    """Solves it. `sensitivity` asks for the prices; None: where that is quick. `progress` gets a line for each step."""
    with quiet():
        plan = solve(problem)
        turns = {}
        quick = problem.steps * len(problem.scenarios) <= QUICK
        for name in plan.holdings if sensitivity or (sensitivity is None and quick) else ():
            progress(f"looking up to which price {name} is bought")
            turns[name] = bought_below(problem, name)
    return Solved(plan=plan, turns=turns)
