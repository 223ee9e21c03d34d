"""Progress: a job, its attempt and what an executor reports → their next values and the lines of their history.

A report that moves nothing (a repeat, or one that comes after the end) yields None.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from broker.decide.retry import RetryDecision, after
from broker.decide.wording import seconds
from broker.model.jobs import (
    ATTEMPT_MOVES,
    Attempt,
    AttemptReport,
    AttemptState,
    Job,
    JobState,
    StateChange,
)
from broker.model.money import NS_PER_S
from broker.model.placement import Placement

LARGEST: Final = 1 << 63  # of numbers, what a store has room for


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What to record, together."""

    job: Job
    attempt: Attempt
    changes: tuple[StateChange, ...]
    unit_ids: tuple[str, ...] = ()  # where the attempt runs, as far as the executor says
    retry: RetryDecision | None = None  # what was decided when the attempt ended


def attempt_of(job: Job, placement: Placement, now_ns: int) -> Attempt:
    """The next attempt of a job, as its placement says. Raises ValueError for a placement that names no pool."""
    quote, number = placement.chosen, job.attempts + 1
    if quote is None:
        raise ValueError(f"placement of {job.id} says run but names no quote")
    return Attempt(
        id=f"{job.id}-a{number}",
        job_id=job.id,
        number=number,
        pool=quote.pool,
        resources=quote.resources,
        stored_ns=now_ns,
    )


def advance(job: Job, attempt: Attempt, report: AttemptReport, now_ns: int, refused: int = 0) -> Progress | None:
    """What a report makes of an attempt and its job; None when it tells nothing new.

    `refused` counts the job's earlier attempts that a pool took back for want of capacity. Raises ValueError for a
    report that makes no sense.
    """
    if report.state not in ATTEMPT_MOVES[attempt.state]:
        return None
    _check(report)
    moved = replace(
        attempt,
        state=report.state,
        started_ns=report.started_ns or attempt.started_ns,
        ended_ns=(report.ended_ns or report.at_ns) if report.state.ended else None,
        exit_code=report.exit_code,
        signal=report.signal,
        reason=_reason(job, report) or attempt.reason,
    )
    retry = after(job, moved, now_ns, refused) if moved.state.ended else None
    job_moved = _ended(job, moved, retry) if retry else _going(job, moved)
    changes = _changes(job, job_moved, attempt, moved, now_ns)
    return Progress(job=job_moved, attempt=moved, changes=changes, unit_ids=report.unit_ids, retry=retry)


def _check(report: AttemptReport) -> None:
    for name in ("at_ns", "started_ns", "ended_ns", "exit_code", "signal"):
        value: object = getattr(report, name)
        if value is not None and not (isinstance(value, int) and abs(value) < LARGEST):
            raise ValueError(f"{name} of {report.attempt_id} is reported as {value!r}: it is to be a whole number")


def _reason(job: Job, report: AttemptReport) -> str:
    """What the executor says; of a run that ended before the job's own time was up, that its money was spent."""
    spec, ended_ns = job.spec, report.ended_ns or report.at_ns
    if report.state is not AttemptState.TIMED_OUT or spec.max_cost_usd is None:
        return report.reason
    ran_s = (ended_ns - (report.started_ns or ended_ns)) / NS_PER_S
    if spec.max_duration_s is not None and ran_s >= spec.max_duration_s:
        return report.reason
    return f"ended after {seconds(ran_s)}: it had cost the job's max_cost of ${spec.max_cost_usd}"


def _going(job: Job, attempt: Attempt) -> Job:
    running = attempt.state is AttemptState.RUNNING
    return replace(
        job,
        state=JobState.RUNNING if running else JobState.STARTING,
        started_ns=job.started_ns or attempt.started_ns,
    )


def _ended(job: Job, attempt: Attempt, retry: RetryDecision) -> Job:
    ended = replace(
        job,
        started_ns=job.started_ns or attempt.started_ns,
        exit_code=attempt.exit_code,
        reason=retry.reason,
    )
    if retry.again_ns is not None:
        return replace(ended, state=JobState.QUEUED, not_before_ns=retry.again_ns)
    return replace(ended, state=retry.final, ended_ns=attempt.ended_ns)


def _changes(
    job: Job, job_moved: Job, attempt: Attempt, attempt_moved: Attempt, now_ns: int
) -> tuple[StateChange, ...]:
    at_attempt = StateChange(
        at_ns=now_ns,
        job_id=job.id,
        attempt_id=attempt.id,
        old=attempt.state,
        new=attempt_moved.state,
        reason=attempt_moved.reason,
    )
    if job_moved.state is job.state:
        return (at_attempt,)
    at_job = StateChange(
        at_ns=now_ns, job_id=job.id, attempt_id=None, old=job.state, new=job_moved.state, reason=job_moved.reason
    )
    return (at_attempt, at_job)
