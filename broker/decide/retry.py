"""A job and the end of its attempt → another attempt, when and where not, or the job's end, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.decide.backoff import doubling
from broker.decide.wording import seconds
from broker.model.jobs import Attempt, AttemptState, Cause, Job, JobState
from broker.model.money import NS_PER_S

# Before this time is over, a pool that took an attempt back is tried again for this job only if no other has room.
AVOID_S: Final = 60.0

_WORDS: Final = {
    Cause.NO_CAPACITY: "had no room",
    Cause.INTERRUPTION: "was interrupted",
    Cause.ERROR: "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """What follows the end of an attempt: either `again_ns`, or the `final` state."""

    again_ns: int | None  # not placed again before this; None: no other attempt
    final: JobState  # of the job when there is no other attempt
    reason: str
    avoid_pool: str | None = None  # where to place it again for now only if no other pool has room
    avoid_until_ns: int = 0


def after(job: Job, attempt: Attempt, now_ns: int, refused: int = 0) -> RetryDecision:
    """What to do when an attempt has ended; `job.attempts` includes it.

    `refused` counts the job's earlier attempts that a pool took back for want of capacity: they are not held against
    it. A job whose cancellation was asked for is never tried again. Raises ValueError for an attempt still going.
    """
    if not attempt.state.ended:
        raise ValueError(f"attempt {attempt.id} has not ended: it is {attempt.state}")
    if attempt.state is AttemptState.SUCCEEDED:
        return RetryDecision(again_ns=None, final=JobState.SUCCEEDED, reason="")
    if job.cancel_requested or attempt.state is AttemptState.CANCELLED:
        return RetryDecision(again_ns=None, final=JobState.CANCELLED, reason=attempt.reason or "cancelled")
    cause = attempt.state.cause or Cause.ERROR
    what = _what(attempt, cause)
    if why_not := _why_not(job, cause, refused):
        return _end(f"{what}; {why_not}")
    wait_s = _backoff_s(job, cause, refused)
    again_ns = now_ns + round(wait_s * NS_PER_S)
    within_s = job.spec.retry.within_s
    if within_s is not None and again_ns > job.submitted_ns + within_s * NS_PER_S:
        return _end(f"{what}; not retried: no new attempt later than {seconds(within_s)} after submission")
    avoid = attempt.pool if cause is Cause.NO_CAPACITY else None
    return RetryDecision(
        again_ns=again_ns,
        final=JobState.QUEUED,
        reason=f"{what}; again in {seconds(wait_s)}{_count(job, cause, refused)}",
        avoid_pool=avoid,
        avoid_until_ns=now_ns + round(AVOID_S * NS_PER_S) if avoid else 0,
    )


def _end(reason: str) -> RetryDecision:
    return RetryDecision(again_ns=None, final=JobState.FAILED, reason=reason)


def _why_not(job: Job, cause: Cause, refused: int) -> str:
    policy = job.spec.retry
    if cause not in policy.on:
        return f"not retried: its retry.on_events does not have {cause}"
    if cause is not Cause.NO_CAPACITY and job.attempts - refused >= policy.max_attempts:
        return f"not retried: it was attempt {job.attempts - refused} of {policy.max_attempts}"
    return ""


def _backoff_s(job: Job, cause: Cause, refused: int) -> float:
    before = job.attempts - 1 if cause is Cause.NO_CAPACITY else job.attempts - refused - 1
    policy = job.spec.retry
    return doubling(policy.backoff_s, before, policy.max_backoff_s)


def _count(job: Job, cause: Cause, refused: int) -> str:
    if cause is Cause.NO_CAPACITY:
        return ", elsewhere if possible"
    return f", attempt {job.attempts - refused + 1} of {job.spec.retry.max_attempts}"


def _what(attempt: Attempt, cause: Cause) -> str:
    done = "was stopped" if attempt.state is AttemptState.TIMED_OUT else _WORDS[cause]
    code = f"exit code {attempt.exit_code}" if attempt.exit_code else ""
    said = attempt.reason.removeprefix(code).removeprefix("; ")
    why = f": {said}" if said else ""
    return f"attempt {attempt.number} in {attempt.pool} {done}{f' ({code})' if code else ''}{why}"
