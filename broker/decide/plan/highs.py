"""A programme as arrays → its optimum, by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import highspy
import numpy as np
import numpy.typing as npt

from broker.decide.plan.no_plan import NoPlan
from broker.decide.plan.programme import Arrays
from broker.decide.workload import Floats

GAP = 1e-9  # of whole programmes: what need not be proved
MOST_SECONDS = 600.0
LARGEST = 1e15  # of a coefficient, as HiGHS has it; what it takes for infinite begins later


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    STOPPED = "stopped"  # with a plan that is not proved the best
    FAILED = "failed"


Statuses = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Basis:
    """Which of a programme's columns and rows are basic, and at which bound the others are."""

    columns: Statuses
    rows: Statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Values of the columns, and what rows and columns are worth: duals of the rows, reduced costs."""

    status: Status
    said: str  # the solver's own word
    values: Floats
    row_duals: Floats
    reduced: Floats
    cost: float
    bound: float  # nothing costs less


def loaded(arrays: Arrays, start: Basis | None = None) -> highspy.Highs:
    """A solver that holds the programme; to begin with a basis, which need be neither whole nor optimal.

    Raises `NoPlan` for numbers that the solver does not take: it would solve an empty programme instead.
    """
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = arrays.matrix.shape
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = arrays.cost, arrays.lower, arrays.upper
    lp.row_lower_, lp.row_upper_ = arrays.row_lower, arrays.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    matrix = arrays.matrix
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    if arrays.whole.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(whole)] for whole in arrays.whole]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", GAP)
    solver.setOptionValue("time_limit", MOST_SECONDS)
    if solver.passModel(lp) == highspy.HighsStatus.kError:
        raise NoPlan(f"the solver takes no number of {LARGEST:g} or more: GPUs, prices and limits must be below that")
    if start is not None:
        basis = highspy.HighsBasis()
        basis.col_status, basis.row_status = start.columns.tolist(), start.rows.tolist()
        basis.valid = basis.alien = True  # to be made whole; what the solver can make no use of, it leaves alone
        solver.setBasis(basis)
        # Perturbed costs are for ties far from the optimum; here they would undo what the basis knows.
        solver.setOptionValue("dual_simplex_cost_perturbation_multiplier", 0.0)
    return solver


def optimum(arrays: Arrays) -> Solution:
    """Runs the solver to its end."""
    return run(loaded(arrays))


def basis_of(solver: highspy.Highs) -> Basis:
    """The one that a solver ended with."""
    found = solver.getBasis()
    return Basis(np.array(found.col_status, np.object_), np.array(found.row_status, np.object_))


def run(solver: highspy.Highs) -> Solution:
    """Runs a solver to its end."""
    solver.run()
    said = solver.getModelStatus()
    solution, info = solver.getSolution(), solver.getInfo()
    whole = info.mip_node_count >= 0
    return Solution(
        status=_status(said, feasible=bool(solution.value_valid)),
        said=solver.modelStatusToString(said),
        values=np.asarray(solution.col_value),
        row_duals=np.asarray(solution.row_dual),
        reduced=np.asarray(solution.col_dual),
        cost=float(info.objective_function_value),
        bound=float(info.mip_dual_bound if whole else info.objective_function_value),
    )


def _status(said: highspy.HighsModelStatus, *, feasible: bool) -> Status:
    kinds = highspy.HighsModelStatus
    if said in (kinds.kOptimal, kinds.kModelEmpty):
        return Status.OPTIMAL
    if said in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
        return Status.INFEASIBLE
    if said == kinds.kUnbounded:
        return Status.UNBOUNDED
    if said in (kinds.kTimeLimit, kinds.kIterationLimit, kinds.kSolutionLimit) and feasible:
        return Status.STOPPED
    return Status.FAILED
