"""The part of the client that is about tenancy: projects, members, tokens, secrets, volumes, and the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from broker.sdk.events import Json
from broker.sdk.flow import LONG_S
from broker.sdk.job_requests import without_none
from broker.sdk.routes import Routes, path_of


class TenancyRoutes(Routes):
    """Projects and their members, tokens, secrets, volumes, and the audit log."""

    def create_project(self, name: str, **wish: Any) -> Json:
        """Makes a project: description, weight, max_priority, quota, user_quota (see `ProjectView`)."""
        return self._json("POST", "/v1/projects", body={"name": name, **wish})

    def projects(self) -> list[Json]:
        """The projects that one may see, by name: `ProjectView`s."""
        return list(self._json("GET", "/v1/projects")["projects"])

    def project(self, name: str) -> Json:
        """One project: `ProjectView`."""
        return self._json("GET", path_of("projects", name))

    def set_project(self, name: str, wish: Mapping[str, Any]) -> Json:
        """Writes all of a project but its members: `ProjectView`."""
        return self._json("PUT", path_of("projects", name), body=dict(wish))

    def delete_project(self, name: str) -> None:
        """Deletes a project without jobs that wait or run."""
        self._json("DELETE", path_of("projects", name))

    def set_member(self, project: str, user: str, role: str = "submitter") -> Json:
        """Makes somebody a member, or gives a member another role: `ProjectView`."""
        return self._json("PUT", f"{path_of('projects', project)}/members/{quote(user, safe='')}", body={"role": role})

    def remove_member(self, project: str, user: str) -> Json:
        """Ends a membership: `ProjectView`."""
        return self._json("DELETE", f"{path_of('projects', project)}/members/{quote(user, safe='')}")

    def create_token(self, user: str, scope: str = "submit", lives_s: float | None = None) -> Json:
        """Makes a token and shows its text, this once: `TokenMade`."""
        return self._json("POST", "/v1/tokens", body={"user": user, "scope": scope, "lives_s": lives_s})

    def tokens(self) -> list[Json]:
        """All tokens that were ever made, newest first: `TokenView`s."""
        return list(self._json("GET", "/v1/tokens")["tokens"])

    def token(self, token_id: str) -> Json:
        """One token, without its text: `TokenView`."""
        return self._json("GET", path_of("tokens", token_id))

    def revoke_token(self, token_id: str) -> Json:
        """Ends a token at once: `TokenView`."""
        return self._json("DELETE", path_of("tokens", token_id))

    def set_secret(self, name: str, value: str, projects: Sequence[str] = ()) -> Json:
        """Sets a secret, which jobs of these projects, or of all, find in their environment: `SecretView`.

        Nobody is told the value again.
        """
        body = {"value": value, "projects": list(projects)}
        return self._json("PUT", path_of("secrets", name), body=body)

    def secrets(self) -> list[Json]:
        """All secrets by name, without their values: `SecretView`s."""
        return list(self._json("GET", "/v1/secrets")["secrets"])

    def secret(self, name: str) -> Json:
        """One secret, without its value: `SecretView`."""
        return self._json("GET", path_of("secrets", name))

    def delete_secret(self, name: str) -> None:
        """Removes a secret with all its versions."""
        self._json("DELETE", path_of("secrets", name))

    def rotate_secrets_key(self) -> int:
        """Seals all secrets with a new key; how many versions there are."""
        return int(self._json("POST", "/v1/secrets/rotate-key")["sealed"])

    def create_volume(self, name: str, place: str | None = None, *, project: str = "default") -> Json:
        """Makes a named folder that outlives jobs of a project: `VolumeView`. `place` is as pools say it."""
        return self._json("POST", "/v1/volumes", body={"name": name, "place": place, "project": project})

    def share_volume(self, name: str, project: str = "*", access: str | None = "read") -> Json:
        """Lets jobs of another project, or of all, `read` a volume or `write` to it; None: neither: `VolumeView`."""
        path = f"{path_of('volumes', name)}/shares/{quote(project, safe='*')}"
        if access is None:
            return self._json("DELETE", path)
        return self._json("PUT", path, body={"access": access})

    def give_volume(self, name: str, project: str) -> Json:
        """Makes a volume another project's: `VolumeView`."""
        return self._json("PATCH", path_of("volumes", name), body={"project": project})

    def volumes(self) -> list[Json]:
        """All volumes by name: `VolumeView`s."""
        return list(self._json("GET", "/v1/volumes", timeout_s=LONG_S)["volumes"])

    def volume(self, name: str) -> Json:
        """One volume: `VolumeView`."""
        return self._json("GET", path_of("volumes", name), timeout_s=LONG_S)

    def delete_volume(self, name: str) -> Json:
        """Removes a volume with all that is in it: `VolumeRemoved`."""
        return self._json("DELETE", path_of("volumes", name), timeout_s=LONG_S)

    def audit(self, **wanted: Any) -> Json:
        """One page of the audit log, newest first: `AuditList`. Takes user, action, since, until, limit, cursor."""
        return self._json("GET", "/v1/audit", params=without_none(wanted))
