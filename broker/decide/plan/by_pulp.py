"""A programme as a PuLP problem: to write it to a file that any solver reads, or to have another solver solve it."""

from __future__ import annotations

import re

import numpy as np
import pulp

from broker.decide.plan.programme import Programme


def pulp_problem(programme: Programme) -> pulp.LpProblem:
    """The same columns, rows and costs, each by its name."""
    arrays = programme.arrays()
    lp = pulp.LpProblem("plan", pulp.LpMinimize)
    variables = [
        lp.add_variable(_plain(name), low, None if np.isinf(high) else high, pulp.LpInteger if whole else "Continuous")
        for name, low, high, whole in zip(
            programme.column_names(), arrays.lower, arrays.upper, arrays.whole, strict=True
        )
    ]
    lp += pulp.LpAffineExpression([(variables[n], cost) for n, cost in enumerate(arrays.cost)])
    matrix = arrays.matrix
    for row, name in enumerate(programme.row_names()):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        entries = zip(matrix.indices[part], matrix.data[part], strict=True)
        left = pulp.LpAffineExpression([(variables[column], value) for column, value in entries])
        if np.isfinite(arrays.row_lower[row]):
            lp += left >= arrays.row_lower[row], f"{_plain(name)}_least"
        if np.isfinite(arrays.row_upper[row]):
            lp += left <= arrays.row_upper[row], f"{_plain(name)}_most"
    return lp


def _plain(name: str) -> str:
    """Names of offers hold what no solver's file may."""
    return re.sub(r"\W", "_", name)
