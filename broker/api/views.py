"""Jobs and arrays, as the service has them → the models of `broker.api.schemas`."""

from __future__ import annotations

import json
import shlex
from typing import Final

from broker.api import schemas
from broker.api.amounts import cost, money_or_none, time, time_or_none
from broker.api.decisions import placement, price, resources
from broker.decide.charged import Charged, charged
from broker.model.errors import Problem
from broker.model.jobs import Attempt, JobSpec, StateChange
from broker.model.resources import Gpu
from broker.model.usage import Book, Charge
from broker.run.service import ArrayStanding, JobRecord, JobStanding, ListPage, Submission

_SHORT: Final = 80
_UNKNOWN: Final = "unknown"


def submitted(submission: Submission) -> schemas.Submitted:
    """What became of a submission."""
    return schemas.Submitted(
        id=submission.id,
        name=submission.name,
        tasks=submission.tasks,
        created=submission.created,
        ignored=[problem(each) for each in submission.ignored],
        warnings=list(submission.warnings),
    )


def problem(found: Problem) -> schemas.ProblemItem:
    """One problem."""
    return schemas.ProblemItem(message=found.message, field=found.field, file=found.file, line=found.line)


def job_list(page: ListPage) -> schemas.JobList:
    """One page."""
    return schemas.JobList(items=[standing(item) for item in page.items], next_cursor=page.next_cursor)


def standing(shown: JobStanding | ArrayStanding) -> schemas.JobView | schemas.ArrayView:
    """A job or an array as one line."""
    return array(shown) if isinstance(shown, ArrayStanding) else job(shown)


def array(shown: ArrayStanding) -> schemas.ArrayView:
    """An array as one line."""
    return schemas.ArrayView(
        id=shown.array_id,
        name=shown.name,
        user=shown.user,
        project=shown.project,
        state=shown.state.value,
        ended=shown.ended,
        revision=shown.revision,
        submitted_at=time(shown.submitted_ns),
        tasks=shown.tasks,
        counts={state.value: number for state, number in shown.counts.items()},
        cost=cost(shown.cost) if shown.cost else None,
    )


def job(shown: JobStanding) -> schemas.JobView:
    """A job as one line."""
    job = shown.job
    return schemas.JobView(
        id=job.id,
        name=job.spec.name,
        user=job.user,
        project=job.spec.project,
        state=job.state.value,
        ended=shown.ended,
        reason="; ".join(filter(None, (job.reason or shown.waits_for, job.unread))),
        revision=shown.revision,
        command=_UNKNOWN if job.unread else command(job.spec),
        gpus=_UNKNOWN if job.unread else " or ".join(_gpu(gpu) for gpu in job.spec.resources.gpu_choices),
        num_nodes=job.spec.resources.num_nodes,
        submitted_at=time(job.submitted_ns),
        started_at=time_or_none(job.started_ns),
        ended_at=time_or_none(job.ended_ns),
        exit_code=job.exit_code,
        pool=shown.attempt.pool if shown.attempt else None,
        emulated=shown.emulated,
        attempts=job.attempts,
        cancel_requested=job.cancel_requested,
        priority=job.spec.priority,
        tags=job.spec.tags,
        array_id=job.array_id,
        array_index=job.array_index,
        cost=cost(shown.cost),
    )


def command(spec: JobSpec) -> str:
    """What it runs, on one short line."""
    if spec.function is not None:
        return f"{spec.function.name}()"
    text = shlex.join(spec.argv) if spec.argv else " ".join((spec.run or "").split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _gpu(gpu: Gpu) -> str:
    return f"{gpu.model or 'any'}:{gpu.count:g}"


def detail(record: JobRecord, endpoint: str | None = None) -> schemas.JobDetail:
    """A job with its whole history, and where it answers while it runs."""
    return schemas.JobDetail(
        **job(record.standing).model_dump(),
        endpoint=endpoint,
        made=[_attempt(each, emulated=each.id in record.emulated) for each in record.attempts],
        changes=[_change(each) for each in record.changes],
        placement=placement(record.placement) if record.placement else None,
        predicted=money_or_none(record.predicted),
        charges=[_charge(each) for each in record.charges],
        charged=[_charged(each) for each in charged(record.charges)],
        estimates=[_estimate(each) for each in record.estimates],
        document={key: value for key, value in json.loads(record.document).items() if key != "format"},
    )


def _estimate(charge: Charge) -> schemas.EstimateView:
    return schemas.EstimateView(
        pool=charge.pool,
        unit_id=charge.unit_id,
        attempt_id=charge.attempt_id,
        amount=money_or_none(charge.amount),
    )


def _attempt(attempt: Attempt, *, emulated: bool) -> schemas.AttemptView:
    return schemas.AttemptView(
        id=attempt.id,
        number=attempt.number,
        pool=attempt.pool,
        emulated=emulated,
        state=attempt.state.value,
        resources=resources(attempt.resources),
        stored_at=time(attempt.stored_ns),
        started_at=time_or_none(attempt.started_ns),
        ended_at=time_or_none(attempt.ended_ns),
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        reason=attempt.reason,
    )


def _change(change: StateChange) -> schemas.ChangeView:
    return schemas.ChangeView(
        at=time(change.at_ns), attempt_id=change.attempt_id, old=change.old, new=change.new, reason=change.reason
    )


def _charged(line: Charged) -> schemas.ChargedView:
    return schemas.ChargedView(
        kind=line.kind.value,
        book=_book(line.book),
        pool=line.pool,
        started_at=time(line.started_ns),
        ended_at=time(line.ended_ns),
        amount=money_or_none(line.amount),
        unknown=line.unknown,
        count=line.count,
        prices=[price(each) for each in line.offers],
    )


def _book(book: Book) -> schemas.BookName:
    return "correction" if book is Book.CORRECTION else "metered"


def _charge(charge: Charge) -> schemas.ChargeView:
    return schemas.ChargeView(
        kind=charge.kind.value,
        book=_book(charge.book),
        pool=charge.pool,
        unit_id=charge.unit_id,
        attempt_id=charge.attempt_id,
        started_at=time(charge.started_ns),
        ended_at=time(charge.ended_ns),
        amount=money_or_none(charge.amount),
        price=price(charge.offer) if charge.offer else None,
    )
