"""The programme of one slice, given what is held: solved for all slices at once by the bases that are optimal in some.

Slices differ by their right-hand sides alone. A basis that is optimal for one of them is optimal for all in which it
gives no negative value, and there it gives the optimum and its duals by one product of matrices. So a solver runs only
for slices that no known basis fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np
import numpy.typing as npt
import scipy.sparse

from broker.decide.plan.highs import loaded
from broker.decide.plan.programme import Arrays, Ints
from broker.decide.workload import Floats

TOLERANCE = 1e-9
NOTHING = 1e-13  # of an inverse: what rounding leaves of a zero
ALIKE = 9  # digits to which duals are told apart


@dataclass(frozen=True, slots=True)
class Basis:
    """What is not zero, and what it makes of a right-hand side."""

    columns: Ints  # basic ones, of the slice's columns and then its slacks
    inverse: scipy.sparse.csr_matrix  # few of its entries are not zero, and no threads are started for its products
    duals: Floats


@dataclass(slots=True)
class SliceProgramme:
    """minimise cost · z  such that  row_lower <= matrix z <= row_upper, each row bounded on one side,  z >= 0."""

    cost: Floats
    matrix: Floats  # (rows, columns)
    at_most: npt.NDArray[np.bool_]  # (rows,) True where a row is bounded above
    bases: list[Basis] = field(default_factory=list)
    _solver: highspy.Highs | None = None

    def optima(self, right: Floats) -> tuple[Floats, Floats, Ints]:
        """For right-hand sides (rows, slices): the columns' values, each slice's cost, and a number for its duals."""
        values = np.zeros((self.matrix.shape[1], right.shape[1]))
        cost, chosen = np.zeros(right.shape[1]), np.full(right.shape[1], -1)
        left = np.arange(right.shape[1])
        scale = TOLERANCE * (1.0 + np.abs(right).max(initial=0.0))
        number = 0
        while len(left):
            if fresh := number == len(self.bases):
                self.bases.append(self._solve(right[:, left[0]]))
            basis = self.bases[number]
            found = basis.inverse @ right[:, left]
            fits = (found >= -scale).all(0)
            # The solver's own tolerance is wider: the slice that a basis was found for is always one of its slices.
            fits[0] |= fresh
            here = left[fits]
            own = basis.columns < len(self.cost)
            values[np.ix_(basis.columns[own], here)] = np.maximum(found[np.ix_(own, fits)], 0.0)
            cost[here], chosen[here] = basis.duals @ right[:, here], number
            left, number = left[~fits], number + 1
        return values, cost, self._dual_numbers()[chosen]

    def _dual_numbers(self) -> Ints:
        duals = np.round(np.stack([basis.duals for basis in self.bases]), ALIKE) + 0.0
        numbers: Ints = np.unique(duals, axis=0, return_inverse=True)[1].ravel()
        return numbers

    def _solve(self, right: Floats) -> Basis:
        rows = np.arange(len(right), dtype=np.int32)
        lower = np.where(self.at_most, -np.inf, right)
        upper = np.where(self.at_most, right, np.inf)
        if self._solver is None:
            self._solver = loaded(self._arrays(lower, upper))
        self._solver.changeRowsBounds(len(rows), rows, lower, upper)
        self._solver.run()
        basis = self._solver.getBasis()
        basic = highspy.HighsBasisStatus.kBasic
        columns = [n for n, status in enumerate(basis.col_status) if status == basic]
        slacks = [n for n, status in enumerate(basis.row_status) if status == basic]
        return self._basis(np.array([*columns, *(len(self.cost) + slack for slack in slacks)], np.int64))

    def _basis(self, columns: Ints) -> Basis:
        slack = np.diag(np.where(self.at_most, 1.0, -1.0))
        inverse = np.linalg.inv(np.hstack([self.matrix, slack])[:, columns])
        cost = np.concatenate([self.cost, np.zeros(len(slack))])[columns]
        sparse = scipy.sparse.csr_matrix(np.where(np.abs(inverse) > NOTHING, inverse, 0.0))
        return Basis(columns, sparse, cost @ inverse)

    def _arrays(self, lower: Floats, upper: Floats) -> Arrays:
        count = len(self.cost)
        return Arrays(
            cost=self.cost,
            lower=np.zeros(count),
            upper=np.full(count, np.inf),
            whole=np.zeros(count, np.bool_),
            matrix=scipy.sparse.csr_matrix(self.matrix),
            row_lower=lower,
            row_upper=upper,
        )
