"""Answers of /v1/results → what each call returned or raised."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from broker.sdk.flow import TIMEOUT_S, Ask, Awaited, Flow

WAIT_S: Final = 60.0  # of one request; a longer wait is several


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One call that has ended."""

    id: str
    state: str
    reason: str
    data: bytes | None  # pickled; None: there is none, or it has to be asked for
    apart: bool  # it has to be asked for


def split(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of an answer, each with the job that it is of."""
    at = 0
    while at < len(body):
        line_end = body.index(b"\n", at) + 1
        head = json.loads(body[at:line_end])
        end = line_end + (head["bytes"] or 0)
        yield head["id"], body[at:end]
        at = end


def read(record: bytes) -> Ended:
    """One record."""
    line, _, data = record.partition(b"\n")
    head = json.loads(line)
    return Ended(
        id=head["id"],
        state=head["state"],
        reason=head["reason"],
        data=None if head["bytes"] is None else data,
        apart=head["apart"],
    )


def results_of(wanted: list[str], timeout_s: float = WAIT_S) -> Ask:
    """What asks for results, as soon as there are any."""
    params: dict[str, Any] = {"of": wanted, "timeout_s": timeout_s}
    return Ask(method="GET", path="/v1/results", params=params, timeout_s=timeout_s + TIMEOUT_S)


def ended(job_id: str, timeout: float | None = None) -> Flow[Ended]:
    """A call, once it has ended. Raises TimeoutError after `timeout` seconds."""
    if timeout is None:
        return read((yield Awaited(job_id)).body)
    until = time.monotonic() + timeout
    while True:
        answer = yield results_of([job_id], min(max(until - time.monotonic(), 0.0), WAIT_S))
        if answer.body:
            return read(answer.body)
        if time.monotonic() >= until:
            raise TimeoutError(f"{job_id} has not ended after {timeout:g} s, and goes on")
