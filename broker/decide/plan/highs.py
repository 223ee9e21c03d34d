"""A programme as arrays → its optimum, by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import highspy
import numpy as np

from broker.decide.plan.programme import Arrays
from broker.decide.workload import Floats

GAP = 1e-9  # of whole programmes: what need not be proved
MOST_SECONDS = 600.0


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    STOPPED = "stopped"  # with a plan that is not proved the best
    FAILED = "failed"


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


def loaded(arrays: Arrays) -> highspy.Highs:
    """A solver that holds the programme."""
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
    solver.passModel(lp)
    return solver


def optimum(arrays: Arrays) -> Solution:
    """Runs the solver to its end."""
    return outcome(loaded(arrays), run=True)


def outcome(solver: highspy.Highs, *, run: bool) -> Solution:
    """What a solver has found, after a run where that is asked for."""
    if run:
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
