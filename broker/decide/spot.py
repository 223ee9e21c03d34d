"""A job with a deadline that may run on spot → whether to gamble now, to wait for spot, or to be sure of the deadline.

The uniform progress rule of "Can't Be Late" (Wu and others, NSDI 2024). The safety net: spot only while, were the node
taken at the worst moment, an on-demand node started then would still finish in time. Uniform progress: a job without
spot runs on demand while it is behind the share of its work that the time since submission should have seen, and waits
for spot while it is ahead of that. One that runs on demand leaves it once it is ahead by two boots.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import floor
from typing import Final

from broker.decide.backoff import doubling
from broker.decide.limits import left_s
from broker.decide.wording import seconds
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Cause, Job, JobSpec
from broker.model.money import NS_PER_S
from broker.model.offers import Tier
from broker.model.placement import Duration
from broker.model.pools import Pool

LEAVES: Final = "left for spot: it is ahead of its deadline"  # an attempt's reason, from when it was told to
_LEAST_S: Final = 1e-3  # that is left of a job whose estimate is used up
_LOOK_S: Final = 1.0  # between two decisions at least


class SpotRule(StrEnum):
    """How a job with a deadline uses spot."""

    CHEAPEST = "cheapest"  # spot whenever it is there, and adds least
    UNIFORM_PROGRESS = "uniform_progress"


class Ruling(StrEnum):
    """What a job may do now."""

    ANY = "any"  # spot if it is there, else on demand
    WAIT = "wait"  # spot if it is there, else nothing
    NO_SPOT = "no_spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Boots:
    """Seconds that nodes boot which a job may get."""

    both_s: float  # the slowest on spot, and then the fastest on demand
    slowest_s: float  # of any


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands against its deadline, in seconds."""

    done_s: float  # of its work, that is kept
    left_s: float  # of its work, as it may take (p90)
    since_s: float  # submission
    until_s: float  # deadline
    changeover_s: float  # a boot on spot and one on demand, and what a lost node costs of the work
    boot_s: float  # of the slower of the two
    tries_left: int

    @property
    def spare_s(self) -> float:
        """Time that it can do without, if it ran on spot and lost its node at the worst moment."""
        return self.until_s - self.left_s - self.changeover_s

    @property
    def ahead_s(self) -> float:
        """Until uniform progress has caught up with it; negative when it is behind."""
        share = self.done_s / (self.done_s + self.left_s)
        return share * (self.since_s + self.until_s) - self.since_s

    def ruling(self) -> Ruling:
        """What it may do."""
        if self.spare_s < 0 or self.tries_left <= 1:
            return Ruling.NO_SPOT
        return Ruling.WAIT if self.ahead_s > 0 else Ruling.ANY

    def again_s(self) -> float:
        """How long a ruling to wait holds."""
        return max(min(self.ahead_s, self.spare_s), _LOOK_S)

    def leaves(self) -> bool:
        """Whether it should leave an on-demand node and wait for spot."""
        return self.spare_s - self.changeover_s >= 0 and self.tries_left > 1 and self.ahead_s >= 2 * self.boot_s


def is_spot(pool: Pool) -> bool:
    """Whether a pool is bought as spot."""
    return any(offer.tier is Tier.SPOT for offer in pool.offers)


def kept_s(spec: JobSpec, ran_s: float) -> float:
    """What is left of a run that was interrupted: its work up to the last checkpoint."""
    every_s = spec.checkpoint_every_s
    return min(floor(ran_s / every_s) * every_s, ran_s) if every_s else 0.0


def done_s(spec: JobSpec, attempts: Iterable[Attempt]) -> float:
    """The work of earlier attempts that an attempt begins with."""
    return sum(
        kept_s(spec, (attempt.ended_ns - attempt.started_ns) / NS_PER_S)
        for attempt in attempts
        if attempt.state is AttemptState.INTERRUPTED and attempt.started_ns is not None and attempt.ended_ns is not None
    )


def remaining(duration: Duration, done: float) -> Duration:
    """What is left of a job of which so much is done."""
    if not done:
        return duration
    return replace(
        duration,
        p50_s=max(duration.p50_s - done, _LEAST_S),
        p90_s=max(duration.p90_s - done, _LEAST_S),
        source=f"{duration.source}, less {seconds(done)} that are done",
    )


def boots(pools: Sequence[Pool]) -> Boots | None:
    """How long nodes boot that could run a job; None where it has no choice between spot and anything else."""
    on_spot = [pool.cold_start_s for pool in pools if is_spot(pool)]
    on_demand = [pool.cold_start_s for pool in pools if not is_spot(pool)]
    if not on_spot or not on_demand:
        return None
    return Boots(both_s=max(on_spot) + min(on_demand), slowest_s=max(*on_spot, *on_demand))


def standing(
    job: Job, duration: Duration, done: float, boots: Boots | None, now_ns: int, ran_s: float = 0.0
) -> Standing | None:
    """How a job stands, of which `duration` is what is left; None where it has no choice, or no deadline.

    `boots` are those of pools that could run it. `ran_s` is how long an attempt that goes on has run.
    """
    until_s = left_s(job.spec, now_ns)
    if until_s is None or boots is None or job.spec.resources.spot_policy != "auto":
        return None
    retry = job.spec.retry
    kept = kept_s(job.spec, ran_s)
    left = max(duration.p90_s - kept, _LEAST_S)
    lost = min(job.spec.checkpoint_every_s or left, left)
    again_s = doubling(retry.backoff_s, job.attempts, retry.max_backoff_s)
    return Standing(
        done_s=done + kept,
        left_s=left,
        since_s=(now_ns - job.submitted_ns) / NS_PER_S,
        until_s=until_s,
        changeover_s=boots.both_s + lost + again_s,
        boot_s=boots.slowest_s,
        tries_left=retry.max_attempts - job.attempts if Cause.INTERRUPTION in retry.on else 1,
    )


def moved(job: Job, attempt: Attempt, report: AttemptReport) -> AttemptReport:
    """The end of an attempt that was told to leave its node is an interruption, as it goes on elsewhere."""
    if attempt.reason != LEAVES or report.state is not AttemptState.CANCELLED or job.cancel_requested:
        return report
    return replace(report, state=AttemptState.INTERRUPTED, reason=LEAVES)


def why_not(at: Standing) -> str:
    """Why a job must not run on spot now."""
    if at.tries_left <= 1:
        return "no further attempt is left if its node were taken: it does not gamble with the last"
    return (
        f"the deadline is in {seconds(at.until_s)}, the job may take {seconds(at.left_s)} and a lost node "
        f"{seconds(at.changeover_s)}: too close to gamble"
    )


def why_wait(at: Standing) -> str:
    """Why a job waits for spot."""
    return (
        f"waits for spot, of which there is none: {seconds(at.done_s)} of its {seconds(at.done_s + at.left_s)} are "
        f"done, which is ahead of its deadline in {seconds(at.until_s)} for {seconds(at.again_s())} more"
    )
