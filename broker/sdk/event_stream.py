"""Server-sent events over as many connections as it takes → each event once; a new connection resumes where it was.

The state of one stream, without I/O: a blocking loop and one of asyncio read by it alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.model.errors import BrokerError, DaemonError

PATIENCE_S: Final = 60.0  # without a broker that answers; a restart takes a few seconds
_FIRST_REST_S: Final = 0.1
_LONGEST_REST_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One server-sent event."""

    kind: str
    data: str  # JSON


class EventStream:
    """The state of one stream: where the next connection resumes, and the events in the lines that come."""

    def __init__(self, path: str, params: Mapping[str, Any], *, ends: bool, patience_s: float = PATIENCE_S) -> None:
        """`ends`: its last event is called `end`; else it goes on for ever. `patience_s` as of `lost`."""
        self.path, self.params = path, params
        self.ended = False
        self._ends = ends
        self._patience_s = patience_s
        self._last_id = ""
        self._answered = False
        self._lost_at: float | None = None
        self._rest_s = _FIRST_REST_S
        self._fields: dict[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that say where to resume."""
        return {"Last-Event-ID": self._last_id} if self._last_id else {}

    @property
    def away(self) -> bool:
        """Whether no event has come since a connection was lost."""
        return self._lost_at is not None

    def begin(self) -> None:
        """A connection was answered: drops the half-read event of the one before, which comes again."""
        self._answered, self._fields = True, {}

    def read(self, line: str) -> ServerEvent | None:
        """Takes one line; the event that it completes, None where it completes none."""
        if line:
            name, _, value = line.partition(": ")
            self._fields[name] = value
            return None
        fields, self._fields = self._fields, {}
        self._lost_at, self._rest_s = None, _FIRST_REST_S
        self._last_id = fields.get("id", self._last_id)
        if "event" not in fields:
            return None  # a keep-alive
        self.ended = self._ends and fields["event"] == "end"
        return ServerEvent(kind=fields["event"], data=fields["data"])

    def lost(self, error: BrokerError | None) -> float:
        """How long to rest before the next connection. Raises `DaemonError` when the broker was away for too long.

        What never began is not tried again: raises its error.
        """
        if error is not None and not self._answered:
            raise error
        now = time.monotonic()
        self._lost_at = self._lost_at if self._lost_at is not None else now
        if now - self._lost_at >= self._patience_s:
            raise DaemonError(
                f"the broker has not answered for {now - self._lost_at:.0f} s; what was followed goes on: "
                "start it with `broker up` and follow again"
            ) from error
        rest_s, self._rest_s = self._rest_s, min(self._rest_s * 2, _LONGEST_REST_S)
        return rest_s
