"""What requests bring: bodies that are jobs, who asks, and parameters that several routes share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AwareDatetime

from broker.api.files import check_files
from broker.api.guard import IDENTITY
from broker.api.streaming import Still
from broker.model.errors import Forbidden, InvalidInput, Problem, StoreError, UnknownName
from broker.model.projects import DEFAULT_PROJECT, Role
from broker.model.tokens import Identity, Scope
from broker.run.service import Service
from broker.run.service.batches import MOST_JOBS

Seeing = Callable[[], Awaitable[frozenset[str] | None]]  # the projects that are read, as of now

_TEXT: Final = r"^[^\x00-\x1f\x7f]+$"  # no database takes a zero, and no name has control characters

MOST_TERMS: Final = 16  # of a filter or a grouping: each is a join, of which no database takes very many

Text = Annotated[str, Query(pattern=_TEXT, max_length=256)]
ProjectFilter = Annotated[
    list[Text],
    Query(alias="project", max_length=1_000, description="Only of this project; several: any of them."),
]
Since = Annotated[AwareDatetime | None, Query(description="Not before this time (ISO 8601 with a zone).")]
Until = Annotated[AwareDatetime | None, Query(description="Before this time (ISO 8601 with a zone).")]
MaxAge = Annotated[float, Query(ge=0, le=86_400, description="Made anew where the broker has none that is so young.")]
BrokerUser = Annotated[
    str | None,
    Header(
        alias="Broker-User",
        pattern=_TEXT,
        max_length=64,
        description="For whom, where the token does not say: on the socket, and with the broker's own.",
    ),
]
TagFilter = Annotated[
    list[Annotated[str, Query(pattern=r"^[^\x00-\x1f\x7f=]+=[^\x00-\x1f\x7f]*$", max_length=512)]],
    Query(alias="tag", max_length=MOST_TERMS, description="KEY=VALUE; several must all be there."),
]

JOB_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A job, as the job specification has it: only `run`, `argv` or `function` is required.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Job"},
            }
        },
    }
}
BATCH_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "Jobs, each as the job specification has it.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["jobs"],
                    "additionalProperties": False,
                    "properties": {
                        "jobs": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MOST_JOBS,
                            "items": {"$ref": "#/components/schemas/Job"},
                        }
                    },
                },
            }
        },
    }
}
PROBLEMS: Final[dict[int, str]] = {
    401: "A token is needed.",
    403: "The token is not good for this.",
    404: "There is no such thing.",
    409: "It contradicts what is stored.",
    413: "The body is too large.",
    422: "What was sent is wrong; nothing was stored.",
    429: "This user asks too often, or keeps too many answers open; or this address sends too many wrong tokens.",
    503: "The store or a pool does not answer.",
    507: "There is no room for it; nothing was stored.",
}


LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "Where it is from now on.", "schema": {"type": "string"}},
}
_AGAIN: Final[dict[str, Any]] = {
    "description": "Seconds after which to ask again.",
    "schema": {"type": "integer"},
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "Which kind of token.", "schema": {"type": "string"}}},
    429: {"Retry-After": _AGAIN},
    503: {"Retry-After": _AGAIN | {"description": "Seconds after which to ask again, where it is the store."}},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route documents, beside those that any may answer with."""
    return {status: _problem(status) for status in sorted({401, 403, 422, 429, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    shape = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    headers = {"headers": _HEADERS[status]} if status in _HEADERS else {}
    return {"description": PROBLEMS[status], "content": shape, **headers}


async def user_of(request: Request, broker_user: BrokerUser = None) -> str:
    """Who asks: whose the token is; else the header, else the daemon's own user. Raises `Forbidden`."""
    service: Service = request.app.state.service
    mine = identity(request).user
    if mine is None:
        return broker_user or service.user
    if broker_user not in (None, mine):
        raise Forbidden(f"this token acts as {mine}, not as {broker_user}: leave Broker-User out")
    return mine


def identity(request: Request) -> Identity:
    """Who asks, as the guard found."""
    found: Identity = request.scope[IDENTITY]
    return found


async def _job_id(
    request: Request,
    id: Annotated[str, Path(description="Id of a job, or of an array where that makes sense.")],
) -> str:
    """The job or array, where it is of a project that who asks may see. Raises `UnknownName`."""
    service: Service = request.app.state.service
    await service.projects.check_job(identity(request), id, Role.VIEWER)
    return id


JobId = Annotated[str, Depends(_job_id)]


async def _only_of_job(request: Request, id: JobId) -> str | None:
    """Whose jobs may be ended or retried, of the project that a job is in: None for everybody's. Raises `Forbidden`."""
    service: Service = request.app.state.service
    who = identity(request)
    await service.projects.check_job(who, id, Role.SUBMITTER)
    return await service.projects.only_of(who, id)


async def _reading(request: Request, project: ProjectFilter = []) -> frozenset[str] | None:  # noqa: B006
    """The projects that are read: those that are asked for, else all that who asks may see. Raises `UnknownName`."""
    service: Service = request.app.state.service
    return await service.projects.reading(identity(request), project)


async def _reading_anew(request: Request, project: ProjectFilter = []) -> Seeing:  # noqa: B006
    """The same, to be asked again while an answer goes on. Raises `UnknownName`."""
    service: Service = request.app.state.service
    seeing = partial(service.projects.reading, identity(request), project)
    await seeing()
    return seeing


def still(request: Request, job_id: str | None = None) -> Still:
    """Whether who asks would be answered now: their token is good, and the job is of a project that they may see."""
    service: Service = request.app.state.service
    who = identity(request)

    async def may() -> bool:
        try:
            if job_id is not None:
                await service.projects.check_job(who, job_id, Role.VIEWER)
            return await service.tokens.still_good(who)
        except (UnknownName, Forbidden):
            return False
        except StoreError:
            return True  # it is asked again in a moment

    return may


async def _only_of(request: Request) -> str | None:
    """Whose jobs may be ended or retried: None for everybody's."""
    who = identity(request)
    return None if who.scope is Scope.ADMIN else who.user


async def _json_map(request: Request) -> dict[str, Any]:
    """The body, which must be a map. Raises `InvalidInput`."""
    return json_map(await request.body(), "the body")


def json_map(text: bytes, what: str) -> dict[str, Any]:
    """JSON that must be a map of fields. Raises `InvalidInput`."""
    try:
        fields = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(Problem(message=f"{what} is not JSON: {error}")) from error
    if not isinstance(fields, dict):
        raise InvalidInput(Problem(message=f"{what} must be a map of fields, as the job specification has them"))
    return fields


async def job_fields(request: Request) -> dict[str, Any]:
    """A job, of a project that who asks may submit to. Raises `InvalidInput`, `Forbidden`."""
    fields = await _json_map(request)
    await check_submitting(request, fields)
    return fields


async def _batch_jobs(request: Request) -> list[dict[str, Any]]:
    """The jobs of a batch. Raises `InvalidInput`."""
    fields = await _json_map(request)
    if unknown := sorted(fields.keys() - {"jobs"}):
        raise InvalidInput(Problem(field=unknown[0][:100], message="unknown field: a batch has only `jobs`"))
    jobs = fields.get("jobs")
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= MOST_JOBS:
        raise InvalidInput(Problem(field="jobs", message=f"must be a list of 1 to {MOST_JOBS:,} jobs"))
    wrong = [
        Problem(field=f"jobs[{place}]", message="must be a map of fields, as the job specification has them")
        for place, each in enumerate(jobs)
        if not isinstance(each, dict)
    ]
    if wrong:
        raise InvalidInput(*wrong)
    for place, each in enumerate(jobs):
        await check_submitting(request, each, f"jobs[{place}].")
    return jobs


async def check_submitting(request: Request, job: Mapping[str, Any], place: str = "") -> None:
    """Raises `InvalidInput` where a job's project or files are not theirs to name, `Forbidden` for who only sees it."""
    service: Service = request.app.state.service
    name = job.get("project") or DEFAULT_PROJECT
    if isinstance(name, str):  # what else it may be is refused where the job is read
        await service.projects.check_submitting(identity(request), name, f"{place}project")
    who = identity(request)
    if who.user is not None and who.scope is not Scope.ADMIN:
        check_files(job, request.app.state.files, place)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


User = Annotated[str, Depends(user_of)]
OnlyOfJob = Annotated[str | None, Depends(_only_of_job)]
Reading = Annotated[frozenset[str] | None, Depends(_reading)]
ReadingAnew = Annotated[Seeing, Depends(_reading_anew)]
OnlyOf = Annotated[str | None, Depends(_only_of)]
BatchJobs = Annotated[list[dict[str, Any]], Depends(_batch_jobs)]


def tags_of(pairs: list[str]) -> dict[str, str]:
    """`KEY=VALUE` pairs as a map."""
    return dict(pair.split("=", 1) for pair in pairs)


__all__ = [
    "BATCH_BODY",
    "JOB_BODY",
    "LOCATION",
    "MOST_TERMS",
    "BatchJobs",
    "BrokerUser",
    "JobId",
    "OnlyOf",
    "OnlyOfJob",
    "Reading",
    "ReadingAnew",
    "Seeing",
    "Since",
    "TagFilter",
    "Text",
    "Until",
    "User",
    "check_submitting",
    "identity",
    "job_fields",
    "json_map",
    "problems",
    "still",
    "tags_of",
    "user_of",
]
