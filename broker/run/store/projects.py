"""Projects and their members ↔ rows. The default project is there before it has a row."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from broker.model.acting import about
from broker.model.errors import Conflict, InvalidInput, Problem, UnknownName
from broker.model.jobs import JOB_ENDS, JobState
from broker.model.projects import DEFAULT_PROJECT, Project, Quota, Role
from broker.run.store.engine import insert_new, upsert
from broker.run.store.kept_tables import secrets, volumes
from broker.run.store.rows import Values
from broker.run.store.tables import jobs
from broker.run.store.tenancy_tables import members, projects
from broker.run.store.transactions import Transactions

_LIVE: Final = sorted(state.value for state in JobState if state not in JOB_ENDS)


def no_project(name: str) -> InvalidInput:
    """The error for a job of a project that does not exist, or that is not its user's to see."""
    return InvalidInput(Problem(field="project", message=f"there is no project {name!r}"))


class StoredProjects(Transactions):
    """`broker.project_store.ProjectStore` in SQL."""

    def projects(self) -> tuple[Project, ...]:
        """All of them by name, the default one among them."""
        with self._read() as connection:
            found: defaultdict[str, dict[str, Role]] = defaultdict(dict)
            for row in connection.execute(select(members).order_by(members.c.user_name)):
                found[row.project][row.user_name] = Role(row.role)
            there = [_project(row, found[row.name]) for row in connection.execute(select(projects))]
        if all(each.name != DEFAULT_PROJECT for each in there):
            there.append(Project(name=DEFAULT_PROJECT, members=found[DEFAULT_PROJECT]))
        return tuple(sorted(there, key=lambda each: each.name))

    def add_project(self, project: Project) -> None:
        """Stores a new one. Raises Conflict when there is one of this name, or a secret of one that there was."""
        with self._write() as connection:
            if there_is(connection, project.name):
                raise Conflict(f"there is a project {project.name!r}: choose another name")
            if secret := next(iter(_secrets(connection, project.name)), None):
                message = f"the secret {secret} is for an earlier project {project.name!r}"
                raise Conflict(f"{message}: delete it, or set it again for others, before jobs of a new one get it")
            about(project.name)
            connection.execute(insert(projects).values(_values(project)))
            for user, role in project.members.items():
                connection.execute(insert(members).values(_member(project.name, user, role)))

    def change_project(self, project: Project) -> None:
        """Writes all of it but its members. Raises UnknownName."""
        values = _values(project)
        with self._write() as connection:
            if project.name == DEFAULT_PROJECT:
                connection.execute(insert_new(connection, projects).values(values))
            del values["created_ns"]
            _changed(
                connection.execute(update(projects).where(projects.c.name == project.name).values(values)).rowcount,
                project.name,
            )

    def drop_project(self, name: str) -> None:
        """Removes it and its members. Raises UnknownName, and Conflict while it has volumes, secrets, or live jobs."""
        with self._write() as connection:
            live = select(jobs.c.id).where(jobs.c.project == name, jobs.c.state.in_(_LIVE)).limit(1)
            if name == DEFAULT_PROJECT:
                raise Conflict(f"the project {name!r} is there for jobs that name none: it can't be deleted")
            _changed(connection.execute(delete(projects).where(projects.c.name == name)).rowcount, name)
            if (job := connection.execute(live).scalar()) is not None:
                raise Conflict(f"the project {name!r} has jobs that have not ended, {job} for one: cancel them first")
            if volume := connection.execute(select(volumes.c.name).where(volumes.c.project == name)).scalar():
                message = f"the project {name!r} has volumes, {volume} for one"
                raise Conflict(f"{message}: delete them, or give them away with `broker volume move`")
            found = _secrets(connection, name)
            if secret := next((each for each, (_, of) in found.items() if of == [name]), None):
                message = f"the project {name!r} has secrets, {secret} for one"
                raise Conflict(f"{message}: delete them, or set them again for others")
            connection.execute(delete(members).where(members.c.project == name))
            _unshare(connection, name)
            for secret, (version, of) in found.items():
                mine = (secrets.c.name == secret) & (secrets.c.version == version)
                others = json.dumps([each for each in of if each != name])
                connection.execute(update(secrets).where(mine).values(projects=others))

    def keep_member(self, project: str, user: str, role: Role) -> None:
        """Makes somebody a member, or gives a member another role. Raises UnknownName."""
        with self._write() as connection:
            _changed(there_is(connection, project), project)
            upsert(connection, members, [_member(project, user, role)])

    def drop_member(self, project: str, user: str) -> None:
        """Ends a membership. Raises UnknownName."""
        mine = (members.c.project == project) & (members.c.user_name == user)
        with self._write() as connection:
            _changed(there_is(connection, project), project)
            if not connection.execute(delete(members).where(mine)).rowcount:
                raise UnknownName(f"{user!r} is no member of the project {project!r}")

    def project_of(self, job_id: str) -> str | None:
        """The project of a job or an array."""
        with self._read() as connection:
            # Two looks into two indexes: `or` would be a scan.
            for column in (jobs.c.id, jobs.c.head):
                found = connection.execute(select(jobs.c.project).where(column == job_id).limit(1)).scalar()
                if found is not None:
                    return str(found)
        return None


def there_is(connection: Connection, name: str) -> bool:
    """Whether there is a project of this name."""
    found = connection.execute(select(projects.c.name).where(projects.c.name == name)).first()
    return name == DEFAULT_PROJECT or found is not None


def _secrets(connection: Connection, project: str) -> dict[str, tuple[int, list[str]]]:
    """Secrets that are for a project, not for everybody: the newest version of each, and which projects it is for."""
    newest: dict[str, tuple[int, list[str]]] = {}
    query = select(secrets.c.name, secrets.c.version, secrets.c.projects)
    for row in connection.execute(query.order_by(secrets.c.name, secrets.c.version.desc())):
        newest.setdefault(row.name, (row.version, json.loads(row.projects)))
    return {name: found for name, found in newest.items() if project in found[1]}


def _unshare(connection: Connection, project: str) -> None:
    """Who makes a project of the same name later gets nothing of what was shared with this one."""
    for row in connection.execute(select(volumes.c.name, volumes.c.shares)).all():
        shares = json.loads(row.shares)
        if shares.pop(project, None):
            mine = volumes.c.name == row.name
            connection.execute(update(volumes).where(mine).values(shares=json.dumps(shares, sort_keys=True)))


def _changed(done: object, name: str) -> None:
    if not done:
        raise UnknownName(f"there is no project {name!r}")


def _member(project: str, user: str, role: Role) -> Values:
    return {"project": project, "user_name": user, "role": role.value}


def _values(project: Project) -> Values:
    body = {
        "description": project.description,
        "weight": project.weight,
        "max_priority": project.max_priority,
        "quota": _quota_json(project.quota),
        "user_quota": _quota_json(project.user_quota),
    }
    return {"name": project.name, "created_ns": project.created_ns, "body": json.dumps(body, ensure_ascii=False)}


def _project(row: Row[Any], found: dict[str, Role]) -> Project:
    body = json.loads(row.body)
    return Project(
        name=row.name,
        description=body["description"],
        weight=body["weight"],
        max_priority=body["max_priority"],
        quota=_quota(body["quota"]),
        user_quota=_quota(body["user_quota"]),
        members=found,
        created_ns=row.created_ns,
    )


def _quota_json(quota: Quota) -> dict[str, Any]:
    return {"gpus": dict(quota.gpus), "jobs_running": quota.jobs_running, "jobs_queued": quota.jobs_queued}


def _quota(body: dict[str, Any]) -> Quota:
    return Quota(gpus=body["gpus"], jobs_running=body["jobs_running"], jobs_queued=body["jobs_queued"])
