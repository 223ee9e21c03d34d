"""/v1/blobs and /v1/results: Python functions with their arguments, and what their calls returned."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from broker.api import views
from broker.api.calls import BINARY, TASKS, BlobKept, Said, read_call, record, wanted
from broker.api.requests import BrokerUser, JobId, check_submitting, identity, problems, user_of
from broker.model.projects import Role
from broker.run.service import Service
from broker.run.service.jobs import LONGEST_WAIT_S
from broker.run.service.results import Wanted

_BYTES: Final[dict[str, Any]] = {"content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
_CALL: Final = "A line of JSON, a job with `function` without `inputs`; then these: a file of pickled arguments."
_CALLED: Final = "A line of JSON at once (`Submitted`); then its record as of /v1/results, where it ends in time."
_RESULTS: Final = "One after another: a line of JSON (`ResultHead`), then as many bytes as it says, pickled."
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the content, in hex.")]
Of = Annotated[
    list[Annotated[str, Query(pattern=TASKS, max_length=8_192)]],
    Query(min_length=1, max_length=64, description="A job, or tasks of an array: `gwq3k5vh`, `gwq3k5vh:0-57,60`."),
]


async def _asked(request: Request, of: Of) -> Wanted:
    """Which results are asked for, all of projects that who asks may see. Raises `UnknownName`."""
    service: Service = request.app.state.service
    found = wanted(of)
    for job_id in found:
        await service.projects.check_job(identity(request), job_id, Role.VIEWER)
    return found


Asked = Annotated[Wanted, Depends(_asked)]
Timeout = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds after which it answers anyway.")]


def routes(service: Service) -> APIRouter:
    """The routes of calls."""
    router = APIRouter(prefix="/v1", tags=["calls"])
    _calls(router, service)
    _results(router, service)
    _blobs(router, service)
    return router


def _calls(router: APIRouter, service: Service) -> None:
    @router.post(
        "/calls",
        status_code=201,
        response_class=Response,
        responses={201: {**_BYTES, "description": _CALLED}, **problems(409, 413, 503, 507)},
        openapi_extra={"requestBody": {"required": True, "description": _CALL, **_BYTES}},
    )
    async def call(request: Request, broker_user: BrokerUser = None, timeout_s: Timeout = 0.0) -> Response:
        """Submits a call of a function together with its arguments, or an array of calls, and may wait for its end.

        The function has to be here already (PUT /v1/blobs). Arguments of more than 64 KiB go the same way, and the job
        that names them to POST /v1/jobs. The same caution as for results: unpickling runs code.
        """
        fields, inputs = read_call(await request.body())
        await check_submitting(request, fields)
        submission = await service.calling.submit(fields, inputs, await user_of(request, broker_user))
        line = views.submitted(submission).model_dump_json().encode() + b"\n"
        status = 201 if submission.created else 200
        if not timeout_s or submission.tasks is not None:
            return Response(line, status, media_type=BINARY)
        return Said(line, lambda: service.results.of_one(submission.id, timeout_s), status)


def _results(router: APIRouter, service: Service) -> None:
    @router.get(
        "/jobs/{id}/result",
        response_class=Response,
        responses={
            200: {**_BYTES, "description": "cloudpickle of what it returned or raised."},
            **problems(404, 409, 503),
        },
    )
    async def result(id: JobId) -> Response:
        """Reads what a Python function returned or raised: a pickled `("value", x)` or `("error", exception, text)`.

        Unpickling runs code: do it only with results of jobs that you trust.
        """
        return Response(await service.output.result(id), media_type=BINARY)

    @router.get(
        "/results",
        response_class=Response,
        responses={200: {**_BYTES, "description": _RESULTS}, **problems(404, 503)},
    )
    async def results(asked: Asked, timeout_s: Timeout = 30.0) -> Response:
        """Reads what many calls returned or raised, as soon as any of them has ended; perhaps not of all at once.

        The same caution as for one: unpickling runs code.
        """
        found = await service.results.of(asked, timeout_s)
        return Response(b"".join(record(each) for each in found), media_type=BINARY)


def _blobs(router: APIRouter, service: Service) -> None:
    @router.put(
        "/blobs/{sha256}",
        responses=problems(413, 503, 507),
        openapi_extra={"requestBody": {"required": True, **_BYTES}},
    )
    async def put_blob(sha256: Sha256, request: Request) -> BlobKept:
        """Stores a pickled function, or arguments, under their hash, before the job that names it is submitted."""
        size = await service.submissions.put_blob(sha256, request.stream())
        return BlobKept(sha256=sha256, bytes=size)

    @router.get("/blobs/{sha256}", responses=problems(404, 503))
    async def find_blob(sha256: Sha256) -> BlobKept:
        """Says whether a function or arguments are here already, so that they need not be sent."""
        return BlobKept(sha256=sha256, bytes=await service.submissions.blob_size(sha256))
