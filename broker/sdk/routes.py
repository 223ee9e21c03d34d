"""What the parts of the client have in common: a request to a route of the HTTP API, and its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from broker.sdk.events import Json
from broker.sdk.flow import TIMEOUT_S
from broker.sdk.transport import Answer

NOTHING: Final[Mapping[str, Any]] = {}


class Routes(ABC):
    """Some routes of the HTTP API as methods. Each says which schema of the API's document it returns."""

    @abstractmethod
    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] = NOTHING,
        body: object | bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """The answer to one request. Raises what the broker refuses, and `DaemonError` when it does not answer."""

    def _json(self, method: str, path: str, **options: Any) -> Json:
        found: Json = self._send(method, path, **options).json()
        return found


def path_of(noun: str, name: str) -> str:
    """The path of one of the API's resources, such as `/v1/budgets/team`, whatever is in its name."""
    return f"/v1/{noun}/{quote(name, safe='')}"
