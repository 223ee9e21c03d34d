"""The port to a store of projects, which is a part of the store."""

from __future__ import annotations

from typing import Protocol

from broker.model.jobs import Job
from broker.model.projects import Holding, Project, Role


class ProjectStore(Protocol):
    """Keeps projects and their members. Every method is one transaction, as all of `Store`."""

    def projects(self) -> tuple[Project, ...]:
        """All of them by name; the default one is always there."""
        ...

    def add_project(self, project: Project) -> None:
        """Stores a new project with its members. Raises `Conflict` when there is one of this name, or was.

        The latter only where a secret is for it still.
        """
        ...

    def change_project(self, project: Project) -> None:
        """Writes all of a project but its members. Raises `UnknownName`; the default one is made where it is not."""
        ...

    def drop_project(self, name: str) -> None:
        """Removes a project, its members and its shares of volumes; the jobs that have ended keep its name.

        Raises `UnknownName`, and `Conflict` while it has jobs that have not ended, volumes, or secrets of its own;
        those that are for other projects as well stay for these.
        """
        ...

    def keep_member(self, project: str, user: str, role: Role) -> None:
        """Makes somebody a member, or gives a member another role. Raises `UnknownName` for the project."""
        ...

    def drop_member(self, project: str, user: str) -> None:
        """Ends a membership. Raises `UnknownName` for the project or the member."""
        ...

    def holdings(self) -> tuple[Holding, ...]:
        """What attempts that have not ended hold, by project, user and GPU model."""
        ...

    def lane(
        self, project: str, now_ns: int, limit: int, skip: frozenset[str], without: frozenset[str]
    ) -> tuple[Job, ...]:
        """As `placeable`, of one project, without the jobs of some users."""
        ...

    def project_of(self, job_id: str) -> str | None:
        """The project of a job or an array; None where there is none of this id."""
        ...
