"""What can be bought, and what may be needed → the problem that a plan solves; and the plan, its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from broker.decide.workload import Floats


class Kind(StrEnum):
    """When an offer's size is chosen, and what it is paid for."""

    COMMITTED = "committed"  # chosen now, held and paid for over the whole horizon
    HELD = "held"  # chosen for each block (a day) in each scenario, held and paid for throughout it
    SERVERLESS = "serverless"  # chosen in each step, paid for while used


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to buy a GPU-hour."""

    name: str
    kind: Kind
    usd_per_gpu_hour: float
    node: int = 1  # GPUs come in nodes of this many
    max_gpus: float | None = None  # at most so many at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A course that demand may take."""

    gpus: Floats  # busy GPUs in each step
    weight: float  # its probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All scenarios have as many steps; the weights sum to 1."""

    offers: tuple[Offer, ...]
    scenarios: tuple[Scenario, ...]
    step_hours: float
    block_steps: int  # steps for which the size of what is held stays the same
    whole_nodes: bool = False  # False: any part of a node (a relaxation, never dearer)
    budget_usd: float | None = None  # of the expected cost

    def __post_init__(self) -> None:
        """Raises ValueError for what is no problem: no offers, no demand, lengths or weights that do not fit."""
        if not self.offers or not self.scenarios:
            raise ValueError("a plan needs at least one offer and one scenario")
        steps = {len(scenario.gpus) for scenario in self.scenarios}
        if len(steps) > 1 or not min(steps):
            raise ValueError(f"scenarios must have the same number of steps, at least 1, not {sorted(steps)}")
        if abs(sum(scenario.weight for scenario in self.scenarios) - 1) > 1e-9:
            raise ValueError("the weights of the scenarios must sum to 1")
        if self.block_steps < 1 or self.step_hours <= 0:
            raise ValueError("block_steps and step_hours must be above 0")
        if len({offer.name for offer in self.offers}) < len(self.offers):
            raise ValueError("two offers have the same name")

    @property
    def steps(self) -> int:
        """Of each scenario."""
        return len(self.scenarios[0].gpus)

    @property
    def hours(self) -> float:
        """That the plan covers."""
        return self.steps * self.step_hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to buy. Amounts of what is chosen later are expectations over the scenarios."""

    cost_usd: float
    committed_gpus: Mapping[str, float]  # by offer
    held_gpus: Mapping[str, Floats]  # by offer and block
    used_hours: Mapping[str, float]  # GPU-hours that are bought of each offer
    cost_of: Mapping[str, float]  # dollars by offer
    gpu_hour_price: Floats  # the dual of demand: what one more GPU in a step of a block would add, a GPU-hour
    next_gpu_usd: Mapping[str, float]  # what one more GPU of each committed offer would save; below 0: it would cost
