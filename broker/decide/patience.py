"""What a job would save by waiting → how long it waits: as long as it may, or, where nobody said, as that is worth.

Where nobody said, the rule is Starburst's (Luo and others, USENIX ATC 2024): in proportion to the run time, and short
jobs not at all; here in proportion to what is saved as well. It is that of the ski-rental problem (Karlin, Manasse,
Rudolph and Sleator, 1988): who waits until the delay is worth as much as the wait could save, and then pays, loses at
most twice what he would have lost had he known when there would be room.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from broker.decide.duration import is_prior
from broker.decide.limits import left_s
from broker.decide.quote import Option
from broker.decide.rules import PlacementRules
from broker.model.jobs import Job
from broker.model.money import NS_PER_S
from broker.model.placement import Duration

# Who saves the whole price of a run waits this part of its run time: an hour is worth what four hours of the run cost.
WAIT_SHARE: Final = 0.25
# Somebody may be sitting before a job that is over sooner than this.
SHORT_S: Final = 300.0


def worth_s(run_s: float, saved_share: float) -> float:
    """How long a job waits in all that is thought to run so long, to save that share of its price (0 to 1)."""
    return WAIT_SHARE * run_s * saved_share if run_s >= SHORT_S else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one job still waits for one place rather than take another."""

    allowed_s: float | None  # from submission, as the job or the broker's owner said; None: nobody said
    waited_s: float
    run_s: float  # expected; 0 where it is a guess: nothing is waited for on its account
    slack_s: float  # until it must start for its deadline

    @property
    def deadline_in_s(self) -> float | None:
        """When it is too late to start; None where it never is, or is already."""
        return None if self.slack_s in (0.0, inf) else self.slack_s

    @property
    def said(self) -> bool:
        """Whether somebody said how long it may wait."""
        return self.allowed_s is not None

    def for_(self, better: Option, instead: Option) -> float:
        """Seconds from now. After a wait in vain there must be time for the place that was passed over."""
        allowed_s = worth_s(self.run_s, _saved_share(better, instead)) if self.allowed_s is None else self.allowed_s
        return min(max(allowed_s - self.waited_s, 0.0), self.left_s(instead))

    def left_s(self, instead: Option) -> float:
        """Seconds from now in which the other place may be passed over, by the deadline alone."""
        return max(self.slack_s - instead.quote.start_in_s, 0.0)

    def waits(self, better: Option, instead: Option) -> bool:
        """Whether a place comes soon enough to pass over another for it."""
        return better.quote.start_in_s <= self.for_(better, instead)


def patience(job: Job, duration: Duration, now_ns: int, rules: PlacementRules) -> Patience:
    """What is known of a job's patience now."""
    until_deadline = left_s(job.spec, now_ns)
    return Patience(
        allowed_s=rules.default_max_wait_s if job.spec.max_wait_s is None else job.spec.max_wait_s,
        waited_s=(now_ns - job.submitted_ns) / NS_PER_S,
        run_s=0.0 if is_prior(job.spec, duration) else duration.p50_s,
        slack_s=inf if until_deadline is None else max(until_deadline - duration.p90_s, 0.0),
    )


def _saved_share(better: Option, instead: Option) -> float:
    """What part of a run's price another place saves; nothing where a price is not known."""
    more, less = instead.quote.marginal, better.quote.marginal
    if not more or less is None:
        return 0.0
    return max(1.0 - less.nanodollars / more.nanodollars, 0.0)
