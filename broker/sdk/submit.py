"""What `broker` offers programs: a command or a function in → jobs of the broker that is configured, and its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from broker.model.errors import InvalidInput, Problem
from broker.run.settings import load_settings
from broker.sdk.client import Client
from broker.sdk.connect import connect
from broker.sdk.function import PYTHON, name_of, packed
from broker.sdk.job import Job
from broker.spec.check import World
from broker.spec.read import from_python

# The daemon knows which models its pools have.
_ANY_MODEL = World()


def submit(
    what: str | Sequence[str] | Callable[..., Any],
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Job:
    """Submits a job and returns without waiting for it; starts the broker if none runs.

    `what` is a script for bash, a command word by word, or a Python function, which gets `args` and `kwargs`. `fields`
    are those of the job specification: `gpu="H100"`, `max_cost="$5"`, `array=20`, `envs={…}`, …

    Raises `InvalidInput` with all that is wrong, `Conflict` for an id that is another job's, and `DaemonError`.
    """
    if not callable(what):
        if args or kwargs:
            raise InvalidInput(Problem(field="args", message="only a function takes args and kwargs"))
        command = {"run": what} if isinstance(what, str) else {"argv": list(what)}
        document = from_python(world=_ANY_MODEL, **command, **fields).document
        return _submitted(_client(start=True), document.model_dump(mode="json", exclude_none=True))
    payload = packed(what, args, kwargs or {})
    started = _client(start=True)
    function = {"blob": started.put_blob(payload), "name": name_of(what), "python": PYTHON}
    document = from_python(world=_ANY_MODEL, function=function, **fields).document
    return _submitted(started, document.model_dump(mode="json", exclude_none=True))


def job(id: str) -> Job:
    """The job, or array, of this id. Raises `UnknownName`, and `DaemonError` when no broker runs."""
    found = _client()
    found.wait(id, 0)
    return Job(found, id)


def jobs(**filters: Any) -> Iterator[Job]:
    """Jobs, newest first. Filters: state, user, name, pool, array, tag (`"KEY=VALUE"`), since, until."""
    asked = _client()
    return (Job(asked, found["id"]) for found in asked.each_job(**filters))


def client() -> Client:
    """What all that can be asked of the running broker is asked with: spend, forecasts, pools, jobs as plain values.

    Raises `DaemonError` when no broker runs.
    """
    return _client()


def _submitted(asked: Client, document: Mapping[str, Any]) -> Job:
    return Job(asked, asked.submit(document)["id"])


def _client(*, start: bool = False) -> Client:
    settings = load_settings()
    return connect(settings.state_dir, start=start, config=settings.file, user=settings.user)
