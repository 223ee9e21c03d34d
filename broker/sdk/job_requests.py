"""Flows about one job: wait for it, read what it writes, cancel it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from broker.model.errors import UnknownName
from broker.sdk.events import Json, StreamName
from broker.sdk.flow import TIMEOUT_S, Flow, Request

LONGEST_WAIT_S: Final = 60.0  # of one request; a longer wait takes several


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    """A piece of one stream of one attempt."""

    data: bytes
    next_offset: int  # where the next piece begins
    complete: bool  # it is the last piece
    attempt: int  # its number; 0: the job has none yet


def wait_for_end(job_id: str, timeout_s: float | None = None, since: str | None = None) -> Flow[Json]:
    """A job or array once it has ended, or is of another revision than `since`; or after `timeout_s` as it is then."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = LONGEST_WAIT_S if until is None else max(min(until - time.monotonic(), LONGEST_WAIT_S), 0.0)
        params = without_none({"timeout_s": left_s, "since": since})
        path = f"{job_path(job_id)}/wait"
        found: Json = (yield Request(method="GET", path=path, params=params, timeout_s=left_s + TIMEOUT_S)).json()
        over = until is not None and time.monotonic() >= until
        if found["ended"] or over or (since is not None and found["revision"] != since):
            return found


def log_piece(
    job_id: str, stream: StreamName = "stdout", attempt: int | None = None, offset: int = 0, limit: int = 1 << 20
) -> Flow[LogPiece]:
    """A piece of what a job wrote, of its last attempt where none is named."""
    params = without_none({"stream": stream, "attempt": attempt, "offset": offset, "limit": limit})
    answer = yield Request(method="GET", path=f"{job_path(job_id)}/logs", params=params)
    return LogPiece(
        data=answer.body,
        next_offset=int(answer.headers["broker-next-offset"]),
        complete=answer.headers["broker-complete"] == "true",
        attempt=int(answer.headers["broker-attempt"]),
    )


def cancel_job(job_id: str) -> Flow[Json]:
    """Asks for a job or an array to end: `Cancelled`."""
    found: Json = (yield Request(method="POST", path=f"{job_path(job_id)}/cancel")).json()
    return found


def job_path(job_id: str) -> str:
    """The path of a job in the API. Raises `UnknownName` for what can't be an id."""
    if not job_id or "/" in job_id:
        raise UnknownName(f"there is no job {job_id!r}")
    return f"/v1/jobs/{quote(job_id, safe='')}"


def without_none(params: Mapping[str, Any]) -> Json:
    """Parameters without those that are None; booleans and times as the API writes them."""
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else value
