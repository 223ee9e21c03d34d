"""A programme of many slices → its exact optimum, from programmes of few: slices that price work the same are one.

The adaptive partition of Song and Luedtke, "An adaptive partition-based approach for solving two-stage stochastic
programs with fixed recourse" (SIAM J. Optim., 2015). Slices are merged at their mean, which can only make the programme
cheaper (Jensen): a lower bound. What is held by that programme is then tried on each slice by itself: an upper bound.
Groups whose slices have different duals are split, and again, until both bounds are the same. Each programme begins
with the basis of the one before, in which only what was split has yet to be found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import highspy
import numpy as np

from broker.decide.plan.bases import SliceProgramme
from broker.decide.plan.build import build
from broker.decide.plan.highs import Solution, Status, basis_of, loaded, run
from broker.decide.plan.model import Model
from broker.decide.plan.parts import Parts
from broker.decide.plan.programme import Arrays, Ints
from broker.decide.plan.slices import Slices
from broker.decide.workload import Floats

SAME = 1e-9  # of the cost: bounds this close are the same
FEW = 400  # slices that are solved directly
PER_CELL = 4  # slices of a cell on average, from which on it pays to merge them
FIRST_GROUPS = 64
DEAR = 100.0  # times the dearest offer: a GPU-hour undone


def pays(model: Model) -> bool:
    """Whether merging slices makes the programme smaller, and is exact: nothing else ties them to each other."""
    cells = len(np.unique(model.slices.cell))
    return not model.coupled and len(model.slices) > max(FEW, PER_CELL * cells)


def undone_usd(model: Model) -> float:
    """A price of a GPU-hour undone that is far above all others."""
    return DEAR * max(max(offer.usd_per_hour_up for offer in model.problem.offers), 1e-6)


@dataclass(slots=True)
class _Fine:
    """All slices, with the bounds of their rows."""

    model: Model
    arrays: Arrays
    columns: Ints  # (columns of a slice, slices)
    rows: Ints  # (rows of a slice, slices)
    programme: SliceProgramme

    @classmethod
    def of(cls, model: Model) -> _Fine:
        arrays = model.programme.arrays()
        columns, rows = np.stack(model.local_columns), np.stack(model.local_rows)
        matrix = arrays.matrix[rows[:, 0]][:, columns[:, 0]].toarray()
        at_most = np.isneginf(arrays.row_lower[rows[:, 0]])
        cost = arrays.cost[columns[:, 0]] / model.weight[0]
        return cls(model, arrays, columns, rows, SliceProgramme(cost, matrix, at_most))

    def held_usd(self, structure: Floats) -> float:
        """What is paid for what is held, used or not."""
        return float(self.arrays.cost[: len(structure)] @ structure)

    def tried(self, structure: Floats) -> tuple[Floats, Floats, Ints]:
        """What each slice does with what is held: its columns, its cost an hour, a number for its duals."""
        held = np.concatenate([structure, np.zeros(self.arrays.matrix.shape[1] - len(structure))])
        taken = (self.arrays.matrix @ held)[self.rows]
        at_most = self.programme.at_most[:, None]
        bound = np.where(at_most, self.arrays.row_upper[self.rows], self.arrays.row_lower[self.rows])
        # What is not limited: more than could ever be used.
        enough = 1e3 * (1.0 + self.model.slices.demand.sum(0).max())
        return self.programme.optima(np.minimum(bound, enough) - taken)


def solve_by_parts(model: Model, *, relaxed: bool) -> tuple[Solution, int]:
    """The optimum of a model that has a price for what is left undone, and the groups that it took."""
    fine, labels = _Fine.of(model), _first_labels(model.slices)
    coarse = build(model.problem, model.slices.merged(labels), undone_usd(model))
    solver = loaded(_arrays(coarse, relaxed))
    while True:
        found = run(solver)
        if found.status not in (Status.OPTIMAL, Status.STOPPED):
            return found, len(coarse.slices)
        values, cost, duals = fine.tried(found.values[: model.structural])
        upper = fine.held_usd(found.values[: model.structural]) + float(model.weight @ cost)
        split = np.unique(np.stack([labels, duals]), axis=1, return_inverse=True)[1].ravel()
        if upper - found.cost <= SAME * max(abs(upper), 1.0) or split.max() == labels.max():
            return _whole(Parts(model, coarse, labels), found, values, upper, fine.columns), len(coarse.slices)
        finer = build(model.problem, model.slices.merged(split), undone_usd(model))
        solver = _begun(Parts(finer, coarse, _parents(labels, split)), solver, _arrays(finer, relaxed))
        coarse, labels = finer, split


def _arrays(model: Model, relaxed: bool) -> Arrays:
    arrays = model.programme.arrays()
    return replace(arrays, whole=arrays.whole & (not relaxed))


def _parents(labels: Ints, split: Ints) -> Ints:
    """(groups now,) the group that each was a part of."""
    found = np.empty(split.max() + 1, np.int64)
    found[split] = labels
    return found


def _begun(parts: Parts, solver: highspy.Highs, arrays: Arrays) -> highspy.Highs:
    """A solver of the finer programme that begins where the one of the coarser has ended; whole nodes have no basis."""
    if arrays.whole.any():
        return loaded(arrays)
    return loaded(arrays, parts.basis(basis_of(solver)))


def _first_labels(parts: Slices) -> Ints:
    """Each cell, cut by how much is needed in all where there are few cells."""
    each = max(FIRST_GROUPS // len(np.unique(parts.cell)), 1)
    total = parts.demand.sum(0)
    level = np.floor(np.argsort(np.argsort(total)) * each / len(total)).astype(np.int64)
    labels: Ints = np.unique(np.stack([parts.cell, level]), axis=1, return_inverse=True)[1].ravel()
    return labels


def _whole(parts: Parts, found: Solution, values: Floats, upper: float, columns: Ints) -> Solution:
    """The solution of the fine programme: its slices' own columns, and the prices of their groups."""
    model, structural = parts.fine, parts.fine.structural
    whole, reduced = np.zeros(model.programme.width), np.zeros(model.programme.width)
    whole[:structural], reduced[:structural] = found.values[:structural], found.reduced[:structural]
    whole[columns] = values
    return replace(found, values=whole, row_duals=parts.prices(found.row_duals), reduced=reduced, cost=upper)
