"""A problem → the cheapest plan: a two-stage stochastic linear programme, solved by HiGHS.

What is chosen now (commitments) is the same in all scenarios, everything else is chosen when the scenario is known.
Each file beside this one says what it adds to the programme.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from broker.decide.plan.build import build, in_order, modelled
from broker.decide.plan.diagnose import why_no_plan
from broker.decide.plan.highs import Solution, Status, optimum
from broker.decide.plan.model import Model
from broker.decide.plan.no_plan import NoPlan
from broker.decide.plan.partition import pays, solve_by_parts, undone_usd
from broker.decide.plan.plan import Plan
from broker.decide.plan.problem import Problem
from broker.decide.plan.read import read

NOTHING = 1e-7  # GPUs


def solve(problem: Problem, *, collapsed: bool = True) -> Plan:
    """The optimal plan; `collapsed=False` solves the full programme, step by step, which has the same optimum.

    Raises `NoPlan` where limits or the budget leave none, or the solver gives up.
    """
    model, found, rows = solved(problem, collapsed=collapsed)
    if found.status not in (Status.OPTIMAL, Status.STOPPED):
        raise NoPlan(why_no_plan(problem, found))
    if problem.budget_usd is not None and found.cost > problem.budget_usd * (1 + 1e-9):
        raise NoPlan(
            f"budget_usd: the demand can't be met for ${problem.budget_usd:,.2f}: the least that it costs is "
            f"${found.cost:,.2f}. Raise the budget to that, let work wait, or leave some of it undone"
        )
    prices = found
    if problem.whole_nodes:
        # Whole nodes have no duals; those of the relaxed programme are the prices nearest to them.
        prices = _optimum(model, relaxed=True)[0]
    return read(model, found, prices, rows)


def solved(problem: Problem, *, collapsed: bool = True) -> tuple[Model, Solution, int]:
    """The programme with its solution, and how many slices were solved for."""
    model = modelled(problem, collapsed=collapsed)
    if collapsed and not in_order(problem) and pays(model):
        model = build(problem, model.slices, undone_usd(model))
    return model, *_optimum(model)


def _optimum(model: Model, *, relaxed: bool = False) -> tuple[Solution, int]:
    arrays = model.programme.arrays()
    if model.unserved:
        found, groups = solve_by_parts(model, relaxed=relaxed)
        undone = np.concatenate(list(model.unserved.values()))
        if found.status is not Status.OPTIMAL or found.values[undone].max(initial=0.0) < NOTHING:
            return found, groups
        # A price was not enough to have all work done: nothing may be left undone.
        arrays.upper[undone] = 0.0
    return optimum(replace(arrays, whole=arrays.whole & (not relaxed))), len(model.slices)
