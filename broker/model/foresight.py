"""What the broker foresaw and decided about capacity: values that are kept, to be held against what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from broker.model.money import Money
from broker.model.pools import KeepWarm

LOOK_BACK_S: Final = 90 * 86_400.0  # forecasts and proposals are made from what ran in this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A forecast as it was made: the busy units (nodes or containers) of a pool in each step from then on."""

    pool: str
    at_ns: int  # when it was made; its first step begins then
    step_s: float
    levels: tuple[float, ...]  # probabilities, ascending
    quantiles: tuple[tuple[float, ...], ...]  # units that are not exceeded with each of them, by level and step
    coverage: float | None  # how often its 90 % band held in days before; None: not known yet
    pinball: float | None  # mean loss of its quantiles in days before, in units
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesDecision:
    """How many nodes a cluster pool was to have."""

    at_ns: int
    pool: str
    up: int  # nodes that were there
    nodes: int  # nodes that should be
    applied: bool  # False: in a dry run, or nothing was to be changed, or it failed
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmDecision:
    """How the containers of a serverless pool were to be kept warm."""

    at_ns: int
    pool: str
    before: KeepWarm
    after: KeepWarm
    applied: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A commitment that would pay; a person may buy it, the broker never does."""

    at_ns: int
    pool: str
    offer_id: str
    nodes: int  # to commit to
    usd_per_hour: str  # of one node, committed
    saved: Money  # expected over `days`, against holding or replacing these nodes as now
    days: int
    reason: str


Decision: TypeAlias = NodesDecision | WarmDecision | Proposal
