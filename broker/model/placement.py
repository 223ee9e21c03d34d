"""Placement: what one job would cost and when it would run in each pool, and the choice with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from broker.model.money import Money
from broker.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """How long a job is thought to run, and why we think so."""

    p50_s: float
    p90_s: float
    source: str  # in words: "median of your last 12 runs of train", "your est_runtime", "prior: no history"
    runs: int = 0  # past runs behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One component of an expected cost."""

    what: str  # execution | cold_start | idle_tail | boot | rounding | held_back_work
    amount: Money
    sunk: bool = False  # already paid for, whatever is decided: shown, but not weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What one job would cost, when it would start and end, in one pool.

    `marginal` is what choosing this pool adds to the bill and is what decides; `full` also counts what is already paid
    for. None is an unknown price, which is never treated as zero.
    """

    pool: str
    resources: Resources  # per node, resolved for this pool
    start_in_s: float  # expected, from now: queue, boot or cold start
    duration: Duration
    lines: tuple[CostLine, ...]
    marginal: Money | None
    full: Money | None
    p90_full: Money | None  # full cost if it runs as long as its p90
    affordable_s: float | None = None  # how long it may run for the job's max_cost to be kept; None: without limit
    offer_ids: tuple[str, ...] = ()  # prices behind it
    available_now: bool = True  # room exists this moment
    emulated: bool = False
    warnings: tuple[str, ...] = ()  # stale price, emulated GPU, estimate without history

    @property
    def end_in_s(self) -> float:
        """Expected seconds from now to its end."""
        return self.start_in_s + self.duration.p50_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a job can't run in a pool."""

    pool: str
    # gpu_model | gpus | cpus | memory | disk | nodes | region | isolation | runtime | function | image | extra | spot |
    # pools | price | deadline | capacity (no room) | pool (out of use) | budget
    constraint: str
    message: str  # one sentence for people, with the numbers
    have: str = ""
    need: str = ""
    permanent: bool = True  # False: may change without anybody changing the job or the configuration


class Verdict(StrEnum):
    """What to do with a job now."""

    RUN = "run"  # launch in the chosen pool now
    WAIT = "wait"  # stay queued: cheaper or possible later
    FAIL = "fail"  # can never run as specified


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The decision for one job: the quote chosen, the others, and the reason in words."""

    job_id: str
    at_ns: int
    verdict: Verdict
    chosen: Quote | None  # with WAIT: the quote that is waited for, where there is one
    others: tuple[Quote, ...]
    refusals: tuple[Refusal, ...]
    reason: str  # one sentence with numbers
    flip: str = ""  # what would have to change for the answer to be different
    decide_again_ns: int | None = None  # with WAIT: when to look again even if nothing happens
