"""Errors → problem details (RFC 9457) with the status that tells a client what it may do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from broker.api import schemas
from broker.api.views import problem
from broker.model import errors

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:gpu-broker:"
# The first that fits counts: what is more special stands before what is more general.
KINDS: Final[tuple[tuple[type[errors.BrokerError], str, int], ...]] = (
    (errors.UnknownName, "unknown-name", 404),
    (errors.InvalidInput, "invalid-input", 422),
    (errors.OverBudget, "over-budget", 409),
    (errors.OverQuota, "over-quota", 409),
    (errors.Conflict, "conflict", 409),
    (errors.Forbidden, "forbidden", 403),
    (errors.NoCapacity, "no-capacity", 503),
    (errors.Rejected, "rejected", 422),
    (errors.Unreachable, "unreachable", 503),
    (errors.Misconfigured, "misconfigured", 503),
    (errors.ExecutorError, "executor-error", 502),
    (errors.PriceMissing, "price-missing", 409),
    (errors.StoreFull, "store-full", HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.StoreError, "store-error", 503),
    (errors.DaemonError, "daemon-error", 503),
    (errors.BrokerError, "broker-error", 500),
)
_DISK_FULL: Final = "disk is full"
AWAY_AGAIN_S: Final = 5  # after which to ask again while the store can't be used
_HUNG_UP: Final = 499  # as nginx notes it


def handle_errors(app: FastAPI) -> None:
    """Makes every error that leaves a route a problem."""
    app.add_exception_handler(errors.BrokerError, _broker_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)


def problem_response(
    kind: str,
    status: int,
    detail: str,
    problems: tuple[errors.Problem, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem as a response."""
    return Response(_details(kind, status, detail, problems).model_dump_json(), status, headers, MEDIA_TYPE)


def details_of(error: errors.BrokerError) -> schemas.ProblemDetails:
    """An error of ours as a client is told it."""
    kind, status = next((kind, status) for type_, kind, status in KINDS if isinstance(error, type_))
    if isinstance(error, errors.StoreError) and _DISK_FULL in str(error):
        status = HTTPStatus.INSUFFICIENT_STORAGE
    return _details(kind, status, str(error), error.problems if isinstance(error, errors.InvalidInput) else ())


def _details(kind: str, status: int, detail: str, problems: tuple[errors.Problem, ...]) -> schemas.ProblemDetails:
    return schemas.ProblemDetails(
        type=TYPE + kind,
        title=kind.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        problems=[problem(each) for each in problems],
    )


async def _broker_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.BrokerError):
        raise error
    if isinstance(error, errors.StoreError):
        log.error("the store failed", error=str(error))
    told = details_of(error)
    headers = {"Retry-After": str(AWAY_AGAIN_S)} if isinstance(error, errors.StoreAway) else None
    return Response(told.model_dump_json(), told.status, headers, MEDIA_TYPE)


async def _invalid_request(_request: Request, error: Exception) -> Response:
    """Query parameters, headers and small bodies, which FastAPI checks."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = tuple(errors.Problem(field=_field(found["loc"]), message=_message(found)) for found in error.errors())
    return problem_response("invalid-input", 422, "\n".join(map(str, problems)), problems)


def _field(where: tuple[str | int, ...]) -> str:
    """What is wrong by its name: of a parameter that is given several times, not which of them."""
    kind, *names = where
    return ".".join(str(name) for name in names if kind != "query" or isinstance(name, str))


def _message(found: dict[str, object]) -> str:
    said = str(found["msg"]).removeprefix("Value error, ")
    return said[0].lower() + said[1:]


async def _http_error(request: Request, error: Exception) -> Response:
    """A path or a method that there is not, from the framework itself."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.BAD_REQUEST:  # so it calls a body that can't be read
        return problem_response("invalid-input", 422, "the body is not JSON in UTF-8")
    what = {
        404: f"there is nothing at {request.url.path}; /v1/openapi.json lists what there is",
        405: f"{request.url.path} does not take {request.method}",
    }
    kind = {404: "unknown-path", 405: "unknown-method"}.get(error.status_code, "http-error")
    headers = dict(error.headers) if error.headers else None
    return problem_response(kind, error.status_code, what.get(error.status_code, str(error.detail)), headers=headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Who asked has hung up in the middle of the request: nobody hears the answer, and nothing is wrong here."""
    return Response(status_code=_HUNG_UP)


async def _unforeseen(request: Request, error: Exception) -> Response:
    """A mistake of ours: the log has the traceback, the client only that there is one."""
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response("internal-error", 500, "the broker failed at this request; its log (daemon.log) says why")
