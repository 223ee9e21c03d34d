"""`broker.submit`, `job`, `jobs` and `client`: the entry points of the SDK, to the configured broker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from broker.model.errors import InvalidInput, Problem
from broker.sdk.call_requests import put_blob
from broker.sdk.client import Client
from broker.sdk.default_client import default_client
from broker.sdk.flow import Flow, Request, dual_function
from broker.sdk.job import Job
from broker.sdk.pickling import PYTHON, name_of, packed
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.read import from_python

# The daemon knows which models its pools have.
_ANY_MODEL = World()


@dual_function(partial(default_client, start=True))
def submit(
    what: str | Sequence[str] | Callable[..., Any],
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Flow[Job]:
    """Submits a job and returns without waiting for it; starts the broker if none runs.

    `what` is a script for bash, a command word by word, or a Python function, which gets `args` and `kwargs`. `fields`
    are those of the job specification: `gpu="H100"`, `max_cost="$5"`, `array=20`, `envs={…}`, …

    Raises `InvalidInput` with all that is wrong, `Conflict` for an id that is another job's, and `DaemonError`.
    """
    if not callable(what):
        if args or kwargs:
            raise InvalidInput(Problem(field="args", message="only a function takes args and kwargs"))
        command = {"run": what} if isinstance(what, str) else {"argv": list(what)}
        return _submitted(from_python(world=_ANY_MODEL, **command, **fields).document)
    payload = packed(what, args, kwargs or {})
    function = {"blob": hashlib.sha256(payload).hexdigest(), "name": name_of(what), "python": PYTHON}
    return _submitted(from_python(world=_ANY_MODEL, function=function, **fields).document, payload)


def _submitted(document: JobDocument, payload: bytes | None = None) -> Flow[Job]:
    if payload is not None and document.function is not None:
        yield from put_blob(document.function.blob, payload)
    body = document.model_dump(mode="json", exclude_none=True)
    answer = yield Request(method="POST", path="/v1/jobs", body=body)
    return Job(default_client(start=True), answer.json()["id"])


def job(id: str) -> Job:
    """The job, or array, of this id. Raises `UnknownName`, and `DaemonError` when no broker runs."""
    found = default_client()
    found.wait(id, 0)
    return Job(found, id)


def jobs(**filters: Any) -> Iterator[Job]:
    """Jobs, newest first. Filters: state, user, name, pool, array, tag (`"KEY=VALUE"`), since, until."""
    asked = default_client()
    return (Job(asked, found["id"]) for found in asked.each_job(**filters))


def client() -> Client:
    """The client of the running broker, for all that its API offers: spend, forecasts, pools, jobs as plain values.

    As a context manager it closes its connections. Raises `DaemonError` when no broker runs.
    """
    return default_client()
