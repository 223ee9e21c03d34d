"""What calls of Python functions say over HTTP: which results are asked for, and results as bytes."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from broker.model.jobs import JobState
from broker.run.service.results import Result
from broker.spec.document import MAX_TASKS

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


def wanted(of: list[str]) -> dict[str, set[int] | None]:
    """`ARRAY:0-57,60` as an array and the indexes of its tasks; a job has none."""
    found: dict[str, set[int] | None] = {}
    for one in of:
        name, _, listed = one.partition(":")
        found[name] = _indexes(listed) if listed else None
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


def _indexes(listed: str) -> set[int]:
    ends = [part.partition("-") for part in listed.split(",")]
    return {index for first, _, last in ends for index in range(int(first), min(int(last or first), MAX_TASKS) + 1)}
