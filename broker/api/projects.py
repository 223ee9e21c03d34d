"""Projects as the API shows them, and as it is told them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from broker.api.amounts import time_or_none
from broker.model.projects import Project, Quota, Role
from broker.model.resources import canonical_gpu
from broker.spec.fields import ProjectName

MANY = 1_000_000
Number = Annotated[int, Field(ge=0, le=MANY)]
Gpus = dict[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w .:-]{0,39}$")],
    Annotated[float, Field(ge=0, le=MANY, allow_inf_nan=False)],
]


class QuotaPart(BaseModel):
    """The most that may be used at once; what is not given is not limited."""

    model_config = ConfigDict(extra="forbid")

    gpus: Gpus = Field({}, description="GPUs held by attempts, by model.", examples=[{"H100": 8}])
    jobs_running: Number | None = Field(None, description="Jobs with an attempt that has not ended.")
    jobs_queued: Number | None = Field(None, description="Jobs that wait; tasks of arrays count one by one.")

    def quota(self) -> Quota:
        """The quota that is meant."""
        gpus = {canonical_gpu(model): number for model, number in self.gpus.items()}
        return Quota(gpus=gpus, jobs_running=self.jobs_running, jobs_queued=self.jobs_queued)


class ProjectPart(BaseModel):
    """What a project is to be, but for its members."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    weight: float = Field(
        1.0, gt=0, le=MANY, allow_inf_nan=False, description="Its share of what is contended, beside other projects'."
    )
    max_priority: int | None = Field(None, ge=0, le=100, description="Of its jobs.")
    quota: QuotaPart = Field(QuotaPart(), description="Of all its jobs together.")
    user_quota: QuotaPart = Field(QuotaPart(), description="Of each user's jobs in it.")

    def project(self, name: str) -> Project:
        """The project that is meant."""
        return Project(
            name=name,
            description=self.description,
            weight=self.weight,
            max_priority=self.max_priority,
            quota=self.quota.quota(),
            user_quota=self.user_quota.quota(),
        )


class NewProject(ProjectPart):
    """A new project."""

    name: ProjectName


class ProjectView(BaseModel):
    """A project with its members."""

    name: str
    description: str
    weight: float
    max_priority: int | None
    quota: QuotaPart
    user_quota: QuotaPart
    members: dict[str, Role] = Field(description="By user.")
    created_at: datetime | None = Field(description="Null: it was always there.")


class ProjectList(BaseModel):
    """Projects by name."""

    projects: list[ProjectView]


class MemberWish(BaseModel):
    """What a member is to be."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Field(
        Role.SUBMITTER,
        description="viewer: see; submitter: submit, end one's own; admin: everybody's jobs in it, and its members.",
    )


def projects(found: Iterable[Project]) -> ProjectList:
    """Projects as they are answered."""
    return ProjectList(projects=[project(each) for each in found])


def project(found: Project) -> ProjectView:
    """A project as it is answered."""
    return ProjectView(
        name=found.name,
        description=found.description,
        weight=found.weight,
        max_priority=found.max_priority,
        quota=_quota(found.quota),
        user_quota=_quota(found.user_quota),
        members=dict(found.members),
        created_at=time_or_none(found.created_ns or None),
    )


def _quota(found: Quota) -> QuotaPart:
    return QuotaPart(gpus=dict(found.gpus), jobs_running=found.jobs_running, jobs_queued=found.jobs_queued)
