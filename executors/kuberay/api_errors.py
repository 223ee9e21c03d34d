"""What the API server answers → the kinds of errors that the broker acts on."""

from __future__ import annotations

import json
from typing import Any, Final

from broker.model.errors import ExecutorError, Misconfigured, NoCapacity, Rejected, Unreachable

PAGE: Final = "docs/pools-kuberay.md"


class NotFound(ExecutorError):
    """There is no such resource."""


class AlreadyExists(ExecutorError):
    """There is one of that name, or it has changed meanwhile."""


class Expired(ExecutorError):
    """Changes since that version are no longer known: list again."""


class Throttled(Unreachable):
    """Too many calls, or a server that is overloaded; it may say how long to wait."""

    def __init__(self, message: str, after_s: float | None) -> None:
        super().__init__(message)
        self.after_s = after_s


def failure(pool: str, doing: str, status: int, body: bytes, headers: dict[str, str]) -> ExecutorError:
    """The error of an answer with a status of 400 or more."""
    told = _told(body)
    said = f"pool {pool}: {doing}: {told.get('message') or f'HTTP status {status}'}"
    if status == 401:
        return Misconfigured(f"{said}; the credentials are unknown or have expired: renew them in the kubeconfig")
    if status == 403 and "exceeded quota" in said:
        return NoCapacity(said)
    if status == 403:
        return Misconfigured(f"{said}; the Role in {PAGE} has the permissions that are needed")
    if status == 404:
        return NotFound(_advice(said, told))
    if status == 409:
        return AlreadyExists(said)
    if status == 410:
        return Expired(said)
    if status == 429 or status >= 500:
        return Throttled(said, _seconds(headers.get("Retry-After")))
    return Rejected(said)


def _advice(said: str, told: dict[str, Any]) -> str:
    """A path that the server does not serve is a missing operator; its answer has no details of a resource."""
    named = told.get("details", {}).get("name")
    return said if named else f"{said}; is the KubeRay operator installed, and the namespace there?"


def _told(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(float(value), 0.0)
    except ValueError:
        return None
