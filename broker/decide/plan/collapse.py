"""Demand by step → demand by level, with the hours that each level lasts in a block: the load-duration curve.

Steps of a block that are not coupled to each other differ by nothing but their demand, so those of equal demand are one
row of the programme with the sum of their hours. The optimum is the same; the programme is as much smaller as levels
repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.plan.problem import Problem


@dataclass(frozen=True, slots=True)
class Row:
    """Hours of one block in one scenario in which so many GPUs are busy."""

    scenario: int
    block: int
    gpus: float
    hours: float


def rows(problem: Problem, *, collapsed: bool = True) -> list[Row]:
    """The rows of the programme; one for each step where it is not to be collapsed."""
    found = []
    for number, scenario in enumerate(problem.scenarios):
        for block, begin in enumerate(range(0, problem.steps, problem.block_steps)):
            part = np.asarray(scenario.gpus[begin : begin + problem.block_steps])
            levels, counts = np.unique(part, return_counts=True) if collapsed else (part, np.ones(len(part)))
            found += [
                Row(number, block, float(level), float(count) * problem.step_hours)
                for level, count in zip(levels, counts, strict=True)
            ]
    return found


def block_hours(problem: Problem) -> list[float]:
    """How long each block is."""
    begins = range(0, problem.steps, problem.block_steps)
    return [min(problem.block_steps, problem.steps - begin) * problem.step_hours for begin in begins]
