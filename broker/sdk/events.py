"""Events that a broker tells → what happened to a followed job, and to all that it has to do."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from broker.sdk.streams import Told

Json: TypeAlias = dict[str, Any]
StreamName: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The job in another state; the first and the last thing that is heard of it."""

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

    kind: str  # `job.failed`, …; `missed`: what happened before was too much, or too long ago, to be told
    event: Json  # an `EventView`; empty of `missed`


class JobEvents:
    """What is told of one job; a connection that begins anew tells the state again, which is left out."""

    def __init__(self) -> None:
        self._revision: str | None = None

    def read(self, told: Told) -> Event | None:
        """What it means; None of what is known."""
        data = json.loads(told.data)
        if told.kind == "log":
            return Wrote(attempt=data["attempt"], stream=data["stream"], data=b64decode(data["data"]))
        if told.kind == "end" or data["revision"] == self._revision:
            return None
        self._revision = data["revision"]
        return Seen(job=data)


def happened(told: Told) -> Happened:
    """What it means."""
    return Happened(kind=told.kind, event={} if told.kind == "missed" else json.loads(told.data))
