"""Steps → slices: hours in which the same is needed and the same can be had, as one.

Steps that nothing couples differ by nothing but their demand. Those of a block whose demand is equal are one slice of
the load-duration curve, as long as they are together: the optimum is the same, and the programme is as much smaller as
levels repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.plan.offers import Offer
from broker.decide.plan.problem import Problem
from broker.decide.plan.programme import Ints
from broker.decide.workload import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Slices of the scenarios' time; in the order of steps, one each, where steps are coupled."""

    scenario: Ints  # (slices,)
    step: Ints  # (slices,) one of the steps that it stands for
    hours: Floats  # (slices,) how long it is
    demand: Floats  # (classes, slices)
    available: Floats  # (offers, slices) GPUs to be had; infinite where nothing limits them
    cell: Ints  # (slices,) slices of a cell have the same scenario, blocks and boots
    of_step: Ints  # (scenarios, steps) the slice of each step

    def __len__(self) -> int:
        return len(self.hours)

    def merged(self, labels: Ints) -> Slices:
        """Slices of the same label as one, at their mean: labels must not cross cells."""
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        hours: Floats = np.bincount(inverse, weights=self.hours).astype(np.float64)
        share = self.hours / hours[inverse]

        def mean(values: Floats) -> Floats:
            return np.stack([np.bincount(inverse, weights=share * row) for row in values])

        return Slices(
            scenario=self.scenario[first],
            step=self.step[first],
            hours=hours,
            demand=mean(self.demand),
            available=mean(self.available),
            cell=self.cell[first],
            of_step=inverse[self.of_step],
        )


def slices(problem: Problem, *, collapsed: bool) -> Slices:
    """All steps of all scenarios: each by itself, or equal ones of a cell as one."""
    count, steps = len(problem.scenarios), problem.steps
    demand = problem.demand.transpose(1, 0, 2).reshape(len(problem.classes), -1)
    cells = np.tile(_cells(problem), count) + np.repeat(np.arange(count) * steps, steps)
    every = Slices(
        scenario=np.repeat(np.arange(count), steps),
        step=np.tile(np.arange(steps), count),
        hours=np.full(count * steps, problem.step_hours),
        demand=demand,
        available=_available(problem),
        cell=cells,
        of_step=np.arange(count * steps).reshape(count, steps),
    )
    if not collapsed:
        return every
    key = np.vstack([cells, every.demand, every.available])
    return every.merged(np.unique(key, axis=1, return_inverse=True)[1].ravel())


def lost(offer: Offer, problem: Problem) -> Floats:
    """Which part of a node is lost to its boot, so many steps after its start: (steps that a boot touches,)."""
    boot = offer.boot_hours / problem.step_hours
    return np.clip(boot - np.arange(max(int(np.ceil(boot)), 0)), 0.0, 1.0)


def _cells(problem: Problem) -> Ints:
    """A number for each step: equal where all offers are in the same block, and as far in it as boots reach."""
    keys = [np.zeros(problem.steps, np.int64)]
    steps = np.arange(problem.steps)
    for offer in problem.offers:
        if not problem.paid_by_use(offer):
            block = problem.block_steps(offer)
            reach = len(lost(offer, problem)) if offer.ramps else 0
            keys += [steps // block, np.minimum(steps % block, reach)]
    return np.unique(np.stack(keys), axis=1, return_inverse=True)[1].ravel()


def _available(problem: Problem) -> Floats:
    """Of offers paid by use; what limits nodes of a block is theirs."""
    found = np.full((len(problem.offers), len(problem.scenarios) * problem.steps), np.inf)
    for row, offer in enumerate(problem.offers):
        if problem.paid_by_use(offer):
            for number, scenario in enumerate(problem.scenarios):
                if offer.name in scenario.available:
                    part = slice(number * problem.steps, (number + 1) * problem.steps)
                    found[row, part] = scenario.available[offer.name]
            if offer.max_gpus is not None:
                found[row] = np.minimum(found[row], offer.max_gpus)
    return found
