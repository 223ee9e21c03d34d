"""A linear programme in the making: columns, rows and charges as arrays, to which each feature adds its own.

Arrays, not expressions: a year of hours has a million coefficients, of which whole vectors are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse

from broker.decide.workload import Floats

Ints = npt.NDArray[np.int64]
Term = tuple[npt.ArrayLike, Ints]  # coefficients, and the column of each row; -1: none in that row
INF = float("inf")


@dataclass(frozen=True, slots=True)
class Charge:
    """Dollars for each unit of some columns, and what for."""

    offer: str
    part: str
    columns: Ints
    usd: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """minimise cost · x  such that  row_lower <= matrix x <= row_upper,  lower <= x <= upper,  some x whole."""

    cost: Floats
    lower: Floats
    upper: Floats
    whole: npt.NDArray[np.bool_]
    matrix: scipy.sparse.csr_matrix
    row_lower: Floats
    row_upper: Floats


@dataclass(slots=True)
class Programme:
    """What features have added so far."""

    _columns: list[tuple[str, Floats, Floats, bool]] = field(default_factory=list)
    _rows: list[tuple[str, Floats, Floats]] = field(default_factory=list)
    _entries: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)  # row, column, coefficient
    charges: list[Charge] = field(default_factory=list)
    width: int = 0  # columns
    height: int = 0  # rows

    def columns(
        self, name: str, count: int, *, upper: npt.ArrayLike = INF, lower: npt.ArrayLike = 0.0, whole: bool = False
    ) -> Ints:
        """Adds so many variables; returns their indices."""
        self._columns.append((name, _each(lower, count), _each(upper, count), whole))
        self.width += count
        return np.arange(self.width - count, self.width)

    def rows(
        self, name: str, terms: Sequence[Term], *, lower: npt.ArrayLike = -INF, upper: npt.ArrayLike = INF
    ) -> Ints:
        """Adds one row for each place of the terms' columns: lower <= sum of coefficient · column <= upper."""
        count = len(terms[0][1])
        at = np.arange(self.height, self.height + count)
        for coefficients, columns in terms:
            values = np.broadcast_to(np.asarray(coefficients, np.float64), (count,))
            there = (columns >= 0) & (values != 0)
            self._entries.append((at[there], columns[there], values[there]))
        self._bound(name, count, lower, upper)
        return at

    def row(self, name: str, terms: Sequence[Term], *, lower: npt.ArrayLike = -INF, upper: npt.ArrayLike = INF) -> Ints:
        """Adds one row: the sum over all places of all terms."""
        for coefficients, columns in terms:
            values = np.broadcast_to(np.asarray(coefficients, np.float64), columns.shape)
            self._entries.append((np.full(len(columns), self.height), columns, values))
        self._bound(name, 1, lower, upper)
        return np.array([self.height - 1])

    def _bound(self, name: str, count: int, lower: npt.ArrayLike, upper: npt.ArrayLike) -> None:
        self._rows.append((name, _each(lower, count), _each(upper, count)))
        self.height += count

    def charge(self, offer: str, part: str, columns: Ints, usd: npt.ArrayLike) -> None:
        """Each unit of these columns costs so many dollars more, in expectation."""
        values = np.broadcast_to(np.asarray(usd, np.float64), columns.shape)
        self.charges.append(Charge(offer, part, columns, values))

    def arrays(self) -> Arrays:
        """The whole of it."""
        cost = np.zeros(self.width)
        for charge in self.charges:
            np.add.at(cost, charge.columns, charge.usd)
        row, column, value = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        return Arrays(
            cost=cost,
            lower=np.concatenate([lower for _, lower, _, _ in self._columns]),
            upper=np.concatenate([upper for _, _, upper, _ in self._columns]),
            whole=np.concatenate([np.full(len(lower), whole) for _, lower, _, whole in self._columns]),
            matrix=scipy.sparse.csr_matrix((value, (row, column)), shape=(self.height, self.width)),
            row_lower=np.concatenate([lower for _, lower, _ in self._rows]),
            row_upper=np.concatenate([upper for _, _, upper in self._rows]),
        )

    def column_names(self) -> list[str]:
        """One a column, told apart by its number among those of its kind."""
        return [f"{name}_{n}" for name, lower, _, _ in self._columns for n in range(len(lower))]

    def row_names(self) -> list[str]:
        """One a row."""
        return [f"{name}_{n}" for name, lower, _ in self._rows for n in range(len(lower))]


def _each(values: npt.ArrayLike, count: int) -> Floats:
    return np.broadcast_to(np.asarray(values, np.float64), (count,))
