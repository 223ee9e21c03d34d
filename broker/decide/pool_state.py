"""A pool as a decision sees it: what it is, what it has at one moment, and what runs in it for how much longer."""

from __future__ import annotations

from dataclasses import dataclass

from broker.model.pools import Capacity, Pool
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningAttempt:
    """An attempt that holds resources of a pool."""

    attempt_id: str
    resources: Resources  # on each node
    num_nodes: int = 1
    remaining_s: float  # expected, from now
    unit_ids: tuple[str, ...] = ()  # where it runs; empty: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool at the moment of a decision."""

    pool: Pool
    capacity: Capacity | None  # None: it does not say
    problem: str | None = None  # why it takes no work now
    running: tuple[RunningAttempt, ...] = ()  # attempts given to it that have not ended
