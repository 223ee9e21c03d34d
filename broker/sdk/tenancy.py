"""The part of the client that is about projects, their members, and who did what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from broker.sdk.events import Json


class Tenancy:
    """Projects and their members."""

    def _json(self, method: str, path: str, **options: Any) -> Json:
        raise NotImplementedError

    def create_project(self, name: str, **wish: Any) -> Json:
        """Makes a project: description, weight, max_priority, quota, user_quota (see `ProjectView`)."""
        return self._json("POST", "/v1/projects", body={"name": name, **wish})

    def projects(self) -> list[Json]:
        """The projects that one may see, by name: `ProjectView`s."""
        return list(self._json("GET", "/v1/projects")["projects"])

    def project(self, name: str) -> Json:
        """One project: `ProjectView`."""
        return self._json("GET", _path(name))

    def set_project(self, name: str, wish: Mapping[str, Any]) -> Json:
        """Writes all of a project but its members: `ProjectView`."""
        return self._json("PUT", _path(name), body=dict(wish))

    def delete_project(self, name: str) -> None:
        """Deletes a project without jobs that wait or run."""
        self._json("DELETE", _path(name))

    def set_member(self, project: str, user: str, role: str = "submitter") -> Json:
        """Makes somebody a member, or gives a member another role: `ProjectView`."""
        return self._json("PUT", f"{_path(project)}/members/{quote(user, safe='')}", body={"role": role})

    def remove_member(self, project: str, user: str) -> Json:
        """Ends a membership: `ProjectView`."""
        return self._json("DELETE", f"{_path(project)}/members/{quote(user, safe='')}")

    def audit(self, **wanted: Any) -> Json:
        """One page of the audit log, newest first: `AuditList`. Takes user, action, since, until, limit, cursor."""
        return self._json("GET", "/v1/audit", params={key: value for key, value in wanted.items() if value is not None})


def _path(project: str) -> str:
    return f"/v1/projects/{quote(project, safe='')}"
