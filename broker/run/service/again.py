"""A job that failed or was cancelled, or an array with such tasks → the document to submit again, and which tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.model.errors import Conflict, UnknownName
from broker.model.jobs import Job, JobState
from broker.model.query import JobFilter
from broker.ports import Store
from broker.spec.build import load
from broker.spec.document import RETRY_OF, JobDocument

_AGAIN: Final = frozenset({JobState.FAILED, JobState.CANCELLED})
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What is submitted again."""

    document: JobDocument
    tasks: tuple[int, ...] | None = None  # indexes of an array's tasks; None: it is no array


def what_to_retry(store: Store, job_id: str) -> Again:
    """What a retry of this job, task or array means. Raises `UnknownName`, and `Conflict` where nothing has failed."""
    try:
        job = store.job(job_id)
    except UnknownName:
        if not sum(store.counts(job_id).values()):
            raise
        return _tasks(store, job_id)
    if job.state not in _AGAIN:
        raise Conflict(f"{job_id} {_why_not(job.state)}")
    return Again(
        document=_document(store, job_id, job_id), tasks=None if job.array_index is None else (job.array_index,)
    )


def _tasks(store: Store, array_id: str) -> Again:
    indexes = sorted(job.array_index for job in _failed(store, array_id) if job.array_index is not None)
    if not indexes:
        running = sum(number for state, number in store.counts(array_id).items() if not state.ended)
        raise Conflict(f"{array_id} {_why_not(JobState.RUNNING if running else JobState.SUCCEEDED)}")
    return Again(document=_document(store, f"{array_id}.{indexes[0]}", array_id), tasks=tuple(indexes))


def _failed(store: Store, array_id: str) -> Iterator[Job]:
    cursor: str | None = None
    while True:
        page = store.jobs(JobFilter(array_id=array_id, states=_AGAIN, limit=_PAGE, cursor=cursor))
        yield from page.jobs
        if (cursor := page.next_cursor) is None:
            return


def _why_not(state: JobState) -> str:
    if state is JobState.SUCCEEDED:
        return "has succeeded: there is nothing to retry; submit the job again to run it once more"
    return "has not ended: wait for it, or cancel it first"


def _document(store: Store, job_id: str, retried: str) -> JobDocument:
    document = load(store.recorded(job_id).document)
    return document.model_copy(update={"id": None, "tags": {**document.tags, RETRY_OF: retried}})
