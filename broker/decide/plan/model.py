"""A programme with the names of its parts: which column and which row stands for what."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from broker.decide.plan.offers import Offer
from broker.decide.plan.problem import Problem
from broker.decide.plan.programme import Ints, Programme, Term
from broker.decide.plan.slices import Slices
from broker.decide.workload import Floats


@dataclass(slots=True)
class Model:
    """The programme of a problem over some slices, filled by one feature after the other."""

    problem: Problem
    slices: Slices
    programme: Programme = field(default_factory=Programme)
    nodes: dict[str, Ints] = field(default_factory=dict)  # (scenarios, blocks) by offer that is sized by block
    starts: dict[str, Ints] = field(default_factory=dict)  # (scenarios, blocks)
    use: dict[tuple[str, str], Ints] = field(default_factory=dict)  # (slices,) GPUs at work, by offer and class
    cold: dict[str, Ints] = field(default_factory=dict)  # (slices,) cold starts of serverless offers
    waiting: dict[str, Ints] = field(default_factory=dict)  # (slices,) by class: work put off, in GPU-steps
    unserved: dict[str, Ints] = field(default_factory=dict)  # (slices,) by class: work that nothing does
    capacity: dict[str, Ints] = field(default_factory=dict)  # rows (slices,) by offer: no more at work than there are
    met: dict[str, Ints] = field(default_factory=dict)  # rows (slices,) by class: demand
    limits: dict[str, Ints] = field(default_factory=dict)  # rows by what limits
    structural: int = 0  # this many first columns are of no slice
    local_columns: list[Ints] = field(default_factory=list)  # (slices,) each: of one slice alone
    local_rows: list[Ints] = field(default_factory=list)  # (slices,) each
    coupled: bool = False  # something but the structural columns ties slices to each other

    @property
    def weight(self) -> Floats:
        """(slices,) expected hours that a slice stands for."""
        found: Floats = self.problem.weights[self.slices.scenario] * self.slices.hours
        return found

    @property
    def before(self) -> Ints:
        """(slices,) the slice of the step before; -1 for the first. For slices that are steps."""
        return np.where(self.slices.step > 0, np.arange(len(self.slices)) - 1, -1)

    def used(self, offer: Offer) -> list[Ints]:
        """GPUs of an offer at work, for each class that may use it."""
        return [columns for (name, _), columns in self.use.items() if name == offer.name]

    def add_local(self, name: str, **bounds: object) -> Ints:
        """A column for each slice."""
        columns = self.programme.columns(name, len(self.slices), **bounds)  # type: ignore[arg-type]
        self.local_columns.append(columns)
        return columns

    def add_local_rows(self, name: str, terms: list[Term], **bounds: object) -> Ints:
        """A row for each slice."""
        rows = self.programme.rows(name, terms, **bounds)  # type: ignore[arg-type]
        self.local_rows.append(rows)
        return rows


def earlier(columns: Ints, before: Ints) -> Ints:
    """The columns of the slices before; -1 for none."""
    return np.where(before >= 0, columns[before], -1)
