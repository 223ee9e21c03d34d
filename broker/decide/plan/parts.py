"""A programme and one of fewer, larger slices → what was found for that one, as each of its parts has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.plan.highs import Basis
from broker.decide.plan.model import Model
from broker.decide.plan.programme import Ints
from broker.decide.workload import Floats


@dataclass(frozen=True, slots=True)
class Parts:
    """Two models of one problem: each slice of the fine one lies in a group, which is a slice of the coarse one."""

    fine: Model
    coarse: Model
    group: Ints  # (slices of the fine one,)

    def basis(self, found: Basis) -> Basis:
        """The coarse one's basis with each group's part of it for all of its slices: near a basis of the fine one."""
        return Basis(found.columns[self._columns()], found.rows[self._rows()])

    def prices(self, found: Floats) -> Floats:
        """(rows,) the coarse one's duals: those of a group by each slice's share of its weight."""
        duals: Floats = found[self._rows()]
        share = self.fine.weight / self.coarse.weight[self.group]
        for mine in self.fine.local_rows:
            duals[mine] *= share
        return duals

    def _columns(self) -> Ints:
        """(columns,) which of the coarse one's each is a part of: those of no slice come first, and are the same."""
        found = np.arange(self.fine.programme.width)
        for mine, theirs in zip(self.fine.local_columns, self.coarse.local_columns, strict=True):
            found[mine] = theirs[self.group]
        return found

    def _rows(self) -> Ints:
        """(rows,) the same of rows: those of no slice are in the same order."""
        found = np.empty(self.fine.programme.height, np.int64)
        found[_of_no_slice(self.fine)] = _of_no_slice(self.coarse)
        for mine, theirs in zip(self.fine.local_rows, self.coarse.local_rows, strict=True):
            found[mine] = theirs[self.group]
        return found


def _of_no_slice(model: Model) -> Ints:
    return np.setdiff1d(np.arange(model.programme.height), np.concatenate(model.local_rows))
