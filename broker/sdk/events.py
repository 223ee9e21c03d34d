"""Server-sent events of a broker → what happened to a followed job, or to any job, plan, schedule or budget."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from broker.sdk.event_stream import ServerEvent

Json: TypeAlias = dict[str, Any]
StreamName: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The job is in another state, or waits for something else; also the first and last event of a followed job."""

    job: Json  # a `JobView`


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """The job has written something."""

    attempt: int  # number of the attempt
    stream: StreamName
    data: bytes


Event: TypeAlias = Seen | Wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something has happened to a job, a plan, a schedule, a budget."""

    kind: str  # `job.failed`, …; `missed`: earlier events were too many or too old, and are left out
    event: Json  # an `EventView`; empty of `missed`


class JobEvents:
    """Reads the events of one job; a state that a new connection repeats is left out."""

    def __init__(self) -> None:
        self._revision: str | None = None

    def read(self, event: ServerEvent) -> Event | None:
        """What the event means; None where it says nothing new."""
        data = json.loads(event.data)
        if event.kind == "log":
            return Wrote(attempt=data["attempt"], stream=data["stream"], data=b64decode(data["data"]))
        if event.kind == "end" or data["revision"] == self._revision:
            return None
        self._revision = data["revision"]
        return Seen(job=data)


def happened(event: ServerEvent) -> Happened:
    """What an event of `/v1/events` means."""
    return Happened(kind=event.kind, event={} if event.kind == "missed" else json.loads(event.data))
