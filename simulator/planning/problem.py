"""Histories and ways to buy → the problem that a plan solves, for the past or for what may come."""

from __future__ import annotations

from broker.decide.plan import Class, Problem
from broker.model.errors import InvalidInput
from simulator.planning.offers import Ways
from simulator.planning.scenarios import Histories, as_forecast, as_it_was

HOUR_S = 3_600.0


def problem_of(
    histories: Histories,
    ways: Ways,
    step_s: float,
    *,
    days: float | None = None,
    courses: int = 12,
    whole_nodes: bool = False,
    budget_usd: float | None = None,
) -> tuple[Problem, str]:
    """The problem, and why demand is thought to be as it is.

    With `days`, for so many courses that demand may take from the end of the past on; without, for the past itself.
    Raises `InvalidInput` for what is no problem.
    """
    why = "demand is taken to be what it was"
    if days is None:
        scenarios = as_it_was(histories, step_s)
    else:
        scenarios, why = as_forecast(histories, step_s, days, courses, [work.name for work in ways.classes])
    try:
        return Problem(
            offers=ways.offers,
            scenarios=scenarios,
            step_hours=step_s / HOUR_S,
            classes=ways.classes or (Class(name="all"),),
            limits=ways.limits,
            whole_nodes=whole_nodes,
            budget_usd=budget_usd if budget_usd is not None else ways.budget_usd,
            worst_usd=ways.worst_usd,
            commitments_usd=ways.commitments_usd,
        ), why
    except ValueError as error:
        raise InvalidInput(str(error)) from None
