"""Projects: whose jobs are whose, what members may do, and how much of the pools a project may use at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

DEFAULT_PROJECT: Final = "default"  # of jobs that name none; it always exists, and is open to everybody


class Role(StrEnum):
    """What a member may do in a project; each includes those before it."""

    VIEWER = "viewer"  # see its jobs and what they cost
    SUBMITTER = "submitter"  # submit jobs, and end or retry one's own
    ADMIN = "admin"  # end or retry everybody's, and say who is a member

    def allows(self, needed: Role) -> bool:
        """Whether it is enough for what needs another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The most that may be used at once. What is not given is not limited."""

    gpus: Mapping[str, float] = field(default_factory=dict)  # canonical model -> GPUs held by attempts
    jobs_running: int | None = None  # with an attempt that has not ended
    jobs_queued: int | None = None  # tasks of arrays count one by one

    @property
    def limits_use(self) -> bool:
        """Whether it ever keeps a job waiting."""
        return bool(self.gpus) or self.jobs_running is not None


NO_QUOTA: Final = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A team's jobs."""

    name: str
    description: str = ""
    weight: float = 1.0  # its share of what is contended, beside other projects'
    max_priority: int | None = None  # of its jobs
    quota: Quota = NO_QUOTA  # of all its jobs together
    user_quota: Quota = NO_QUOTA  # of each user's jobs in it
    members: Mapping[str, Role] = field(default_factory=dict)  # by user
    created_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What attempts that have not ended hold of one kind, for one user of one project."""

    project: str
    user: str
    gpu_model: str  # empty: no GPUs
    gpus: float
    cpus: float
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The most jobs that may wait: of a project, or of one user in it."""

    project: str
    user: str | None  # None: of all
    most: int
