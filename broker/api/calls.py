"""What calls of Python functions say over HTTP: which results are asked for, and results as bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Final

import structlog
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.api.requests import json_map
from broker.model.errors import BrokerError, InvalidInput, Problem
from broker.model.jobs import JobState
from broker.run.service.results import Result
from broker.spec.document import MAX_TASKS

log = structlog.get_logger()

MOST_INDEXES: Final = 4 * MAX_TASKS  # of one request
BINARY: Final = "application/octet-stream"
TASKS: Final = r"^[a-z0-9][a-z0-9._-]{0,99}(:\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*)?$"


class ResultHead(BaseModel):
    """The line before what a call returned or raised."""

    id: str = Field(description="The job.")
    state: JobState
    reason: str
    bytes: int | None = Field(description="How many follow, pickled; null: there are none here.")
    apart: bool = Field(description="They are too many to be here: GET /v1/jobs/{id}/result has them.")


class BlobKept(BaseModel):
    """A blob that is kept."""

    sha256: str
    bytes: int


class Said(Response):
    """A line at once, and what came of it later."""

    media_type = BINARY

    def __init__(self, line: bytes, later: Callable[[], Awaitable[Sequence[Result]]], status_code: int) -> None:
        super().__init__(status_code=status_code, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._line, self._later = line, later

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends both."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._line, "more_body": True})
        await send({"type": "http.response.body", "body": await self._rest(), "more_body": False})

    async def _rest(self) -> bytes:
        try:
            return b"".join(record(each) for each in await self._later())
        except BrokerError as error:  # who asks for the result again is told
            log.warning("the result of a call could not be read", error=str(error))
            return b""


def read_call(body: bytes) -> tuple[dict[str, Any], bytes]:
    """What a call brings: a job that is a function, on a line of its own, and the file of its arguments."""
    line, _, inputs = body.partition(b"\n")
    return json_map(line, "the first line"), inputs


def wanted(of: list[str]) -> dict[str, set[int] | None]:
    """`ARRAY:0-57,60` as an array and the indexes of its tasks; a job has none.

    Raises `InvalidInput` for more indexes than anybody waits for: a short text can name very many.
    """
    found: dict[str, set[int] | None] = {}
    named = 0
    for one in of:
        name, _, listed = one.partition(":")
        ranges = [_range(each) for each in listed.split(",")] if listed else []
        if (named := named + sum(map(len, ranges))) > MOST_INDEXES:
            raise InvalidInput(Problem(field="of", message=f"names more than {MOST_INDEXES:,} tasks: ask for fewer"))
        found[name] = set(chain(*ranges)) if listed else None
    return found


def record(result: Result) -> bytes:
    """A line of JSON, and what was returned or raised."""
    head = ResultHead(
        id=result.job.id,
        state=result.job.state,
        reason=result.job.reason,
        bytes=None if result.data is None else len(result.data),
        apart=result.apart,
    )
    return head.model_dump_json().encode() + b"\n" + (result.data or b"")


def _range(listed: str) -> range:
    first, _, last = listed.partition("-")
    return range(int(first), min(int(last or first), MAX_TASKS) + 1)
