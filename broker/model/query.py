"""Queries: which jobs and which spend a person asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.model.jobs import Attempt, Job, JobState
from broker.model.money import Money
from broker.model.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list, newest first. Empty fields do not restrict."""

    states: frozenset[JobState] = frozenset()
    user: str | None = None
    projects: frozenset[str] | None = None  # None: all
    name: str | None = None
    pool: str | None = None  # of the last attempt
    array_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    since_ns: int | None = None  # submitted at or after
    until_ns: int | None = None  # submitted before
    limit: int = 50
    cursor: str | None = None  # from the page before


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySummary:
    """An array as one row: how many of its tasks are in each state, and what they cost."""

    array_id: str
    name: str
    user: str
    project: str
    submitted_ns: int
    counts: dict[JobState, int]
    known: Money  # what its tasks are known to have cost
    unpriced: int  # charges of its tasks without a known price, which are not in `known`
    settled: bool  # once all of its tasks have ended: all that they ran is charged


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of a list. With `collapse`, tasks of an array are one `ArraySummary` and not among the jobs."""

    jobs: tuple[Job, ...]
    arrays: tuple[ArraySummary, ...] = ()
    last_attempts: dict[str, Attempt] = field(default_factory=dict)  # job id -> its last attempt
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One job with all that the store knows of its decisions and runs."""

    job: Job
    attempts: tuple[Attempt, ...]
    placements: tuple[Placement, ...]  # oldest first; repeated WAITs with the same reason are stored once
    document: str  # canonical JSON of what was submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendFilter:
    """Which charges a spend report is made of, and what its rows are."""

    since_ns: int | None = None
    until_ns: int | None = None
    by: tuple[str, ...] = ("pool",)  # job | user | project | name | pool | day | kind | tag:<key>
    job_id: str | None = None  # a job or an array
    user: str | None = None
    projects: frozenset[str] | None = None  # None: all, and what belongs to no job
    pool: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
