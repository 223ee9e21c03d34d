"""Lines of server-sent events → what happened to a followed job, in order."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from broker.model.errors import DaemonError

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


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events up to the end of the job. Raises `DaemonError` when the lines end before."""
    kind = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "end":
            return
        elif name == "data":
            yield _event(kind, json.loads(value))
    raise DaemonError(
        "the broker ended while the job was followed; the job goes on: follow it again with `broker logs -f`"
    )


def _event(kind: str, data: Json) -> Event:
    if kind == "state":
        return Seen(job=data)
    return Wrote(attempt=data["attempt"], stream=data["stream"], data=b64decode(data["data"]))
