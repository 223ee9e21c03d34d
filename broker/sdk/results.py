"""Flows and parsers for `/v1/results`: what calls that have ended returned or raised."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from broker.sdk.flow import TIMEOUT_S, AwaitResult, Flow, Request

WAIT_S: Final = 60.0  # of one request; a longer wait takes several


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """How a call ended, and what it returned or raised."""

    id: str
    state: str
    reason: str
    data: bytes | None  # pickled; None: there is none, or it is `apart`
    apart: bool  # too large to be sent along: it has to be requested by itself


def split_records(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of an answer, each with the id of its job."""
    at = 0
    while at < len(body):
        line_end = body.index(b"\n", at) + 1
        head = json.loads(body[at:line_end])
        end = line_end + (head["bytes"] or 0)
        yield head["id"], body[at:end]
        at = end


def read(record: bytes) -> EndedCall:
    """Parses one record."""
    line, _, data = record.partition(b"\n")
    head = json.loads(line)
    return EndedCall(
        id=head["id"],
        state=head["state"],
        reason=head["reason"],
        data=None if head["bytes"] is None else data,
        apart=head["apart"],
    )


def results_request(wanted: list[str], timeout_s: float = WAIT_S) -> Request:
    """The request for the results of some calls; it is answered as soon as there is one, or after `timeout_s`."""
    params: dict[str, Any] = {"of": wanted, "timeout_s": timeout_s}
    return Request(method="GET", path="/v1/results", params=params, timeout_s=timeout_s + TIMEOUT_S)


def await_end(job_id: str, timeout: float | None = None) -> Flow[EndedCall]:
    """Waits for the end of a call. Raises TimeoutError after `timeout` seconds; None waits for ever."""
    if timeout is None:
        return read((yield AwaitResult(job_id)).body)
    until = time.monotonic() + timeout
    while True:
        answer = yield results_request([job_id], min(max(until - time.monotonic(), 0.0), WAIT_S))
        if answer.body:
            return read(answer.body)
        if time.monotonic() >= until:
            raise TimeoutError(f"{job_id} has not ended after {timeout:g} s, and goes on")
