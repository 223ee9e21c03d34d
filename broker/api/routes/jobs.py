"""/v1/jobs: submit, list, show, wait, cancel, retry, explain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from broker.api import batches, schemas, views
from broker.api.amounts import nanoseconds
from broker.api.decisions import explanation
from broker.api.requests import (
    BATCH_BODY,
    JOB_BODY,
    LOCATION,
    BatchJobs,
    BrokerUser,
    JobId,
    OnlyOfJob,
    Reading,
    Since,
    TagFilter,
    Text,
    Until,
    User,
    job_fields,
    problems,
    tags_of,
    user_of,
)
from broker.model.jobs import JobState
from broker.model.query import JobFilter
from broker.run.service import ArrayStanding, Service
from broker.run.service.jobs import LONGEST_WAIT_S

Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The job's id, where its description gives none.", max_length=63),
]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Items on a page.")]
Timeout = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds after which it answers anyway.")]


def routes(service: Service) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    _batches(router, service)
    _submitting(router, service)
    _reading(router, service)
    _acting(router, service)
    return router


def _submitting(router: APIRouter, service: Service) -> None:
    @router.post(
        "",
        status_code=201,
        responses={
            201: {"headers": LOCATION},
            200: {"description": "It was submitted before.", "model": schemas.Submitted, "headers": LOCATION},
            **problems(409, 413, 503),
        },
        openapi_extra=JOB_BODY,
    )
    async def submit(
        request: Request, response: Response, broker_user: BrokerUser = None, key: Key = None
    ) -> schemas.Submitted:
        """Submits a job or an array.

        The same description under the same `id` (or `Idempotency-Key`) finds the first: 200 instead of 201. What no
        pool could ever run is refused, with the reason of each.
        """
        # Called, not injected: FastAPI takes longer over each dependency than these do.
        fields, user = await job_fields(request), await user_of(request, broker_user)
        submission = await service.submissions.submit(fields, user, key)
        response.headers["Location"] = f"/v1/jobs/{submission.id}"
        response.status_code = 201 if submission.created else 200
        return views.submitted(submission)

    @router.post("/{id}/retry", status_code=201, responses={201: {"headers": LOCATION}, **problems(404, 409, 503)})
    async def retry(id: JobId, user: User, only_of: OnlyOfJob, response: Response) -> schemas.Submitted:
        """Submits a failed or cancelled job again, as a new one tagged `retry_of`; of an array, the tasks that failed.

        They keep their indexes in a new array.
        """
        submission = await service.submissions.retry(id, user, only_of)
        response.headers["Location"] = f"/v1/jobs/{submission.id}"
        return views.submitted(submission)


def _batches(router: APIRouter, service: Service) -> None:
    @router.post(
        ":batch",
        status_code=201,
        responses={
            200: {"description": "All of them were submitted before.", "model": batches.BatchSubmitted},
            **problems(409, 413, 503),
        },
        openapi_extra=BATCH_BODY,
    )
    async def submit_batch(jobs: BatchJobs, user: User, response: Response, key: Key = None) -> batches.BatchSubmitted:
        """Submits up to 1,000 jobs or arrays: all of them, or none where one is refused.

        With an `Idempotency-Key` it can be sent again as it is: each job is found that was stored, and the answer is
        200 where all were.
        """
        batch = await service.batches.submit(jobs, user, key)
        response.status_code = 201 if any(each.created for each in batch.submissions) else 200
        return batches.view(batch)


def _reading(router: APIRouter, service: Service) -> None:
    @router.get("", responses=problems(404, 503))
    async def list_jobs(
        projects: Reading,
        state: Annotated[list[JobState] | None, Query(description="Several: any of them.")] = None,
        user: Text | None = None,
        name: Text | None = None,
        pool: Annotated[Text | None, Query(description="Pool of the last attempt.")] = None,
        array: Annotated[Text | None, Query(description="Tasks of this array only.")] = None,
        tag: TagFilter = [],  # noqa: B006 - FastAPI copies it
        since: Since = None,
        until: Until = None,
        limit: Limit = 50,
        cursor: Text | None = None,
        collapse: Annotated[bool, Query(description="An array is one line.")] = False,
    ) -> schemas.JobList:
        """Lists jobs, newest first, one page at a time."""
        wanted = JobFilter(
            states=frozenset(state or ()),
            user=user,
            projects=projects,
            name=name,
            pool=pool,
            array_id=array,
            tags=tags_of(tag),
            since_ns=nanoseconds(since),
            until_ns=nanoseconds(until),
            limit=limit,
            cursor=cursor,
        )
        return views.job_list(await service.jobs.page(wanted, collapse=collapse))

    @router.get("/{id}", responses=problems(404, 503))
    async def show(id: JobId) -> schemas.Shown:
        """Shows a job with its attempts, history, decision and charges; or an array with its counts and cost."""
        shown = await service.jobs.show(id)
        if isinstance(shown, ArrayStanding):
            return views.array(shown)
        standing = shown.standing
        return views.detail(shown, await service.output.endpoint(standing.job, standing.attempt))

    @router.get("/{id}/wait", responses=problems(404, 503))
    async def wait(
        id: JobId,
        timeout_s: Timeout = 30.0,
        since: Annotated[str | None, Query(description="A `revision`: answers as soon as there is another.")] = None,
    ) -> schemas.Standing:
        """Answers when the job has ended (of an array: each task), or after a time; ask again while not `ended`."""
        return views.standing(await service.jobs.wait(id, timeout_s, since))

    @router.get("/{id}/explain", responses=problems(404, 503))
    async def explain(id: JobId) -> schemas.ExplanationView:
        """Explains what was chosen and why, what was refused, and what would have changed it."""
        return explanation(await service.jobs.record(id))


def _acting(router: APIRouter, service: Service) -> None:
    @router.post("/{id}/cancel", status_code=202, responses=problems(404, 503))
    async def cancel(id: JobId, only_of: OnlyOfJob) -> schemas.Cancelled:
        """Asks for the end of a job, or of all tasks of an array; those that have ended are left alone."""
        marked, standing = await service.jobs.cancel(id, only_of)
        return schemas.Cancelled(marked=marked, standing=views.standing(standing))
