"""What a run in virtual time is given: jobs, pools, how the broker decides; and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass

from broker.decide.rules import PlacementRules
from broker.model.jobs import Job
from broker.model.pools import Pool
from simulator.jobs.terms import Spot
from simulator.virtual.ledger import Spent
from simulator.virtual.pool import Timing

SETTLE_S = 6 * 3_600.0
AS_GIVEN = Timing()
NO_RULES = PlacementRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job, and how long its command really runs: the broker is not told."""

    job: Job
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A pool, what it takes, and the nodes that it always has."""

    pool: Pool
    timing: Timing = AS_GIVEN
    nodes: int = 0
    available: Spot | None = None  # nodes that can be had over time; None: always all


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the broker decides, and how often it acts."""

    rules: PlacementRules = NO_RULES
    decide_s: float = 0.0  # from when there is something to decide to the launch
    checkpoint_s: float | None = None  # interrupted jobs go on from a multiple of this; None: from their start
    steer_every_s: float | None = None  # how often clusters that scale are steered; None: never
    settle_every_s: float = SETTLE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What became of one job."""

    job: Job
    started_ns: int | None  # its last attempt's command
    pool: str  # of its last attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of all, in the order of submission, and what was charged."""

    jobs: tuple[Lived, ...]
    spent: Spent
    began_ns: int
    ended_ns: int
    interruptions: int
    lost_s: float  # GPU-seconds of work done again
    decisions: int
    cold_starts: int  # serverless containers
    steered: tuple[tuple[int, str, int], ...]  # when which pool was told to have how many nodes

    @property
    def usd(self) -> float:
        """Dollars charged in all."""
        return float(sum(amount.usd for amount in self.spent.values()))
