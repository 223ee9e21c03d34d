"""A decision → whether the job is held though some pool might take it; and the decision to hold a broken one."""

from __future__ import annotations

from broker.decide import budgets, quotas
from broker.decide.reasons import HELD
from broker.decide.wording import seconds
from broker.model.money import NS_PER_S
from broker.model.placement import Placement, Verdict

MOST_WORDS = 300  # of an error: the log has all of it


def held(placement: Placement) -> bool:
    """Whether it is, by a budget, a quota or a mistake; such a job keeps nobody else from room."""
    return budgets.held(placement) or quotas.held(placement) or broken(placement)


def broken(placement: Placement) -> bool:
    """Whether nothing could be decided: no pool is named, neither as one that may take it nor as one that may not."""
    named = placement.chosen or placement.others or placement.refusals
    return placement.verdict is Verdict.WAIT and not named


def hold_broken(job_id: str, error: Exception, now_ns: int, again_s: float) -> Placement:
    """The decision about a job for which the decision failed: it stays queued and is looked at again."""
    said = f"{type(error).__name__}: {error}"[:MOST_WORDS]
    reason = f"{HELD} by a mistake in the decision about it ({said}); the broker's log says where"
    return Placement(
        job_id=job_id,
        at_ns=now_ns,
        verdict=Verdict.WAIT,
        chosen=None,
        others=(),
        refusals=(),
        reason=f"{reason}; it is tried again in {seconds(again_s)}",
        decide_again_ns=now_ns + round(again_s * NS_PER_S),
    )
