"""Schedules as the API shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from broker.api.amounts import time
from broker.decide.schedules import in_words
from broker.model.schedules import Firing
from broker.run.service.scheduling import ScheduleStanding
from broker.spec.schedule import SchedulePart


class NewSchedule(SchedulePart):
    """A new schedule."""

    name: str = Field(max_length=255, description="1 to 24 of a-z, 0-9, - and _.", examples=["nightly"])


class FiringView(BaseModel):
    """One time at which a schedule submits its job."""

    at: datetime = Field(description="As the expression says; asked for by a person: when they asked.")
    state: Literal["due", "submitted", "refused", "skipped", "missed"]
    job_id: str = Field(description="Of the job, where it was submitted.")
    by_hand: bool = Field(description="Somebody asked for it.")
    reason: str = Field(description="Why it was not submitted.")


class ScheduleView(BaseModel):
    """A schedule, when it fires next, and its last firings."""

    name: str
    user: str
    cron: str
    in_words: str
    timezone: str
    concurrency: Literal["allow", "forbid", "replace"]
    catch_up: Literal["last", "all"]
    starting_deadline_s: float | None
    jitter_s: float
    paused: bool
    created_at: datetime
    next: list[datetime] = Field(description="When it fires next, jitter included; empty while it is paused.")
    last: list[FiringView] = Field(description="Its last firings, newest first; in a list, one.")
    job: dict[str, Any] = Field(description="The job that it submits.")


class ScheduleList(BaseModel):
    """All schedules, by name."""

    schedules: list[ScheduleView]


def schedules(found: Iterable[ScheduleStanding]) -> ScheduleList:
    """Schedules as they are answered."""
    return ScheduleList(schedules=[view(each) for each in found])


def view(standing: ScheduleStanding) -> ScheduleView:
    """A schedule as it is answered."""
    found = standing.schedule
    job = json.loads(found.document)
    job.pop("format", None)
    return ScheduleView(
        name=found.name,
        user=found.user,
        cron=found.cron,
        in_words=in_words(found.cron),
        timezone=found.timezone,
        concurrency=found.concurrency.value,
        catch_up=found.catch_up.value,
        starting_deadline_s=found.starting_deadline_s,
        jitter_s=found.jitter_s,
        paused=found.paused,
        created_at=time(found.created_ns),
        next=[time(ns) for ns in standing.next_ns],
        last=[firing(each) for each in standing.last],
        job=job,
    )


def firing(found: Firing) -> FiringView:
    """A firing as it is answered."""
    return FiringView(
        at=time(found.at_ns),
        state=found.state.value,
        job_id=found.job_id,
        by_hand=found.by_hand,
        reason=found.reason,
    )
