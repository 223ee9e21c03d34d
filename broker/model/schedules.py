"""Schedules: jobs that are submitted again and again, at times of a cron expression, and what became of each firing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from broker.model.money import NS_PER_S
from broker.model.projects import DEFAULT_PROJECT


class Concurrency(StrEnum):
    """What happens at a firing while a job of an earlier one has not ended; as Kubernetes' CronJob names it."""

    ALLOW = "allow"  # both run
    FORBID = "forbid"  # the new one is skipped
    REPLACE = "replace"  # the old one is cancelled


class CatchUp(StrEnum):
    """Which firings are made up for that fell into a time without a broker."""

    LAST = "last"  # the last one
    ALL = "all"  # every one that is not too late


class FiringState(StrEnum):
    """What became of a firing."""

    DUE = "due"  # decided on, not submitted yet
    SUBMITTED = "submitted"
    REFUSED = "refused"  # the job was not taken; the reason says why
    SKIPPED = "skipped"  # an earlier job had not ended
    MISSED = "missed"  # too late, or a later firing made up for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job and the times at which it is submitted."""

    id: str  # of this schedule alone: one that is made again under the name has another
    name: str
    user: str  # who owns it, and the jobs that it submits
    cron: str  # five fields
    timezone: str  # IANA name; the fields are of its wall clock
    document: str  # the job, as canonical JSON
    concurrency: Concurrency = Concurrency.ALLOW
    catch_up: CatchUp = CatchUp.LAST
    starting_deadline_s: float | None = None  # a firing that is later than this is missed; None: it is never too late
    jitter_s: float = 0.0  # all firings are late by a part of this, always the same
    paused: bool = False
    created_ns: int
    decided_ns: int  # firings up to here are decided on

    @property
    def project(self) -> str:
        """Whose jobs it submits."""
        return str(json.loads(self.document).get("project") or DEFAULT_PROJECT)

    def job_id(self, at_ns: int) -> str:
        """The id of the job of a firing. Whoever submits it twice finds the first."""
        whole_s, rest_ns = divmod(at_ns, NS_PER_S)
        moment = datetime.fromtimestamp(whole_s, UTC)
        return (
            f"{self.name}-{moment:%Y%m%dt%H%M}" + (f"{moment:%S}-{rest_ns}" if at_ns % _MINUTE else "") + f"-{self.id}"
        )


_MINUTE = 60 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One time at which a schedule submits its job. Unique by schedule and time."""

    schedule: str  # its id
    at_ns: int  # as the expression says, without jitter; asked for by a person: when they asked
    state: FiringState
    job_id: str  # of the job, or what it would have been
    reason: str = ""  # for people; empty where all went as it should
    by_hand: bool = False  # somebody asked for it now
    decided_ns: int
