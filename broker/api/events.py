"""An event as the API shows it, and as webhooks are sent it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from broker.api.amounts import time, time_or_none
from broker.model.jobs import Job
from broker.run.telling.events import Event


class EventJob(BaseModel):
    """The job that an event is about, in short."""

    id: str
    name: str
    user: str
    project: str
    state: str
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    tags: dict[str, str]


class EventView(BaseModel):
    """One thing that happened."""

    kind: str = Field(examples=["job.failed", "attempt.interrupted", "plan.nodes"])
    at: datetime
    reason: str
    pool: str = Field(description="Empty where no pool has to do with it.")
    schedule: str = Field(description="Empty where no schedule has to do with it.")
    attempt_id: str | None
    job: EventJob | None


def view(event: Event) -> EventView:
    """An event."""
    return EventView(
        kind=event.kind,
        at=time(event.at_ns),
        reason=event.reason,
        pool=event.pool,
        schedule=event.schedule,
        attempt_id=event.attempt.id if event.attempt else None,
        job=_job(event.job) if event.job else None,
    )


def as_json(event: Event) -> str:
    """An event as one line of JSON."""
    return view(event).model_dump_json()


def _job(job: Job) -> EventJob:
    return EventJob(
        id=job.id,
        name=job.spec.name,
        user=job.user,
        project=job.spec.project,
        state=job.state.value,
        submitted_at=time(job.submitted_ns),
        started_at=time_or_none(job.started_ns),
        ended_at=time_or_none(job.ended_ns),
        exit_code=job.exit_code,
        tags=dict(job.spec.tags),
    )
