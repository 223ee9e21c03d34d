"""What can be bought, what may be needed and what binds → the problem that a plan solves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from broker.decide.plan.classes import Class
from broker.decide.plan.offers import Kind, Offer
from broker.decide.workload import Floats

ANY = Class(name="all")
NEAR = 1e-6  # of a step: how close to whole steps a time must be


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A course that demand, and what can be had, may take."""

    gpus: Floats  # busy GPUs in each step; (classes, steps) where there is more than one class
    weight: float  # its probability
    available: Mapping[str, Floats] = field(default_factory=dict)  # of some offers: GPUs to be had in each step


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """On several offers together: a quota, or what an account may run at once."""

    name: str
    offers: tuple[str, ...]
    max_gpus: float | None = None  # at a time
    max_gpu_hours: float | None = None  # over the horizon, in each scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All scenarios have as many steps; the weights sum to 1."""

    offers: tuple[Offer, ...]
    scenarios: tuple[Scenario, ...]
    step_hours: float
    classes: tuple[Class, ...] = (ANY,)
    limits: tuple[Limit, ...] = ()
    period_hours: float = 24.0  # for which capacity and prices are told
    whole_nodes: bool = False  # False: any part of a node (a relaxation, never dearer)
    budget_usd: float | None = None  # of the expected cost
    worst_usd: float | None = None  # of the cost in each scenario
    commitments_usd: float | None = None  # of what commitments made now oblige to pay, to the end of their terms

    def __post_init__(self) -> None:
        """Raises ValueError for what is no problem: no offers, no demand, lengths or weights that do not fit."""
        if not self.offers or not self.scenarios:
            raise ValueError("a plan needs at least one offer and one scenario")
        if self.step_hours <= 0 or self.period_hours <= 0:
            raise ValueError("step_hours and period_hours must be above 0")
        if len({offer.name for offer in self.offers}) < len(self.offers):
            raise ValueError("two offers have the same name")
        if len({work.name for work in self.classes}) < len(self.classes) or not self.classes:
            raise ValueError("classes must be there, each with a name of its own")
        self._check_scenarios()
        for offer in self.offers:
            self.block_steps(offer)

    def _check_scenarios(self) -> None:
        shapes = {scenario.gpus.shape for scenario in self.scenarios}
        wanted = {1} if len(self.classes) == 1 else {2}
        if len(shapes) > 1 or not min(shapes)[-1]:
            raise ValueError(f"scenarios must have the same number of steps, at least 1, not {sorted(shapes)}")
        shape = shapes.pop()
        if len(shape) not in wanted | {2} or (len(shape) == 2 and shape[0] != len(self.classes)):
            raise ValueError(f"{len(self.classes)} classes need as many rows of demand, not shape {shape}")
        if any(not np.isfinite(each.gpus).all() or (each.gpus < 0).any() for each in self.scenarios):
            raise ValueError("demand must be numbers of at least 0")
        if abs(sum(scenario.weight for scenario in self.scenarios) - 1) > 1e-9:
            raise ValueError("the weights of the scenarios must sum to 1")
        if any(scenario.weight <= 0 for scenario in self.scenarios):
            raise ValueError("the weights of the scenarios must be above 0")
        names = {offer.name for offer in self.offers}
        used = {name for limit in self.limits for name in limit.offers} | {
            name for scenario in self.scenarios for name in scenario.available
        }
        if used - names:
            raise ValueError(
                f"limits or availability name offers that there are not: {', '.join(sorted(used - names))}"
            )

    @property
    def steps(self) -> int:
        """Of each scenario."""
        return int(self.scenarios[0].gpus.shape[-1])

    @property
    def hours(self) -> float:
        """That the plan covers."""
        return self.steps * self.step_hours

    @property
    def weights(self) -> Floats:
        """Of the scenarios."""
        return np.array([scenario.weight for scenario in self.scenarios])

    @property
    def demand(self) -> Floats:
        """(scenarios, classes, steps)."""
        return np.stack([scenario.gpus.reshape(len(self.classes), -1) for scenario in self.scenarios])

    def block_steps(self, offer: Offer) -> int:
        """For how many steps the size of an offer stays. Raises ValueError where that is no whole number."""
        if offer.kind is Kind.SERVERLESS:
            return 1
        hours = offer.term_hours if offer.kind is Kind.COMMITTED else offer.resize_hours
        steps = self.steps if hours is None else min(hours / self.step_hours, self.steps)
        if abs(steps - round(steps)) > NEAR or round(steps) < 1:
            raise ValueError(f"offer {offer.name}: {hours:g} h are no whole number of steps of {self.step_hours:g} h")
        return round(steps)

    def paid_by_use(self, offer: Offer) -> bool:
        """Whether an offer's size is free in each step: serverless, and nodes without a start, in any part of them."""
        if offer.kind is not Kind.HELD:
            return offer.kind is Kind.SERVERLESS
        free = self.block_steps(offer) == 1 and not self.whole_nodes and offer.minimum_hours <= self.step_hours
        return free and not offer.boot_hours and not offer.start_usd

    def periods(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The period that each step is told in."""
        each = max(round(self.period_hours / self.step_hours), 1)
        return np.arange(self.steps, dtype=np.int64) // each
