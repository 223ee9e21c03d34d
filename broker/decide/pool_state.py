"""A pool as a decision sees it: what it is, what it has at one moment, and what runs in it for how much longer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from broker.decide.rest import WELL, Health
from broker.model.money import NS_PER_S
from broker.model.pools import Capacity, Pool
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAttempt:
    """An attempt that was given to a pool and has not ended."""

    attempt_id: str
    resources: Resources  # on each node
    num_nodes: int = 1
    remaining_s: float  # expected, from now
    unit_ids: tuple[str, ...] = ()  # where it runs; empty: not known
    key: str = ""  # of its environment
    in_line: bool = False  # it holds nothing yet: it waits in the pool for the place of one like it


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How likely a cluster's nodes are all wanted, hour by hour, and what the work costs that finds no room there."""

    at_ns: int  # when its first step begins
    step_s: float
    full: tuple[float, ...]  # chance, in each step, that more nodes are wanted than there may be
    usd_per_unit_hour: Decimal  # of a node's work, in the cheapest other pool

    def full_s(self, from_ns: int, duration_s: float) -> float:
        """The seconds of a time in which all nodes are expected to be wanted; none beyond the last step."""
        begins = (from_ns - self.at_ns) / NS_PER_S
        found = 0.0
        for step, chance in enumerate(self.full):
            inside = min((step + 1) * self.step_s, begins + duration_s) - max(step * self.step_s, begins)
            found += max(inside, 0.0) * chance
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool at the moment of a decision."""

    pool: Pool
    capacity: Capacity | None  # None: it does not say
    problem: str | None = None  # why it takes no work now
    health: Health = WELL  # what its last attempts have shown
    running: tuple[RunningAttempt, ...] = ()  # attempts given to it that have not ended
    expected: Expected | None = None  # clusters: what is forecast of its nodes; None: nothing
