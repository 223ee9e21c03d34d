"""Requests to the broker, written once as a generator → a call that blocks, and its twin for asyncio.

A flow is a generator without I/O of its own: it yields an `Action`, is sent its `Answer`, and returns a result. Errors
are thrown into it, so that it can clean up before they propagate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from broker.sdk.transport import Answer

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S: Final = 30.0
LONG_S: Final = 300.0  # timeout of what is computed from a long history
LARGE_S: Final = 600.0  # timeout of a large upload or download
CALLS: Final = "/v1/calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the HTTP API."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: object | bytes | None = None
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class AwaitResult:
    """Wait for the end of a job, however long it takes; the answer is its record of `/v1/results`."""

    job_id: str


@dataclass(frozen=True, slots=True)
class StartCall:
    """Submit a call; `AwaitResult` is the next action. The answer is the line that says which job the call became."""

    body: bytes  # of POST /v1/calls


Action: TypeAlias = Request | StartCall | AwaitResult
Flow: TypeAlias = Generator[Action, Answer, R]


class RunsFlows(Protocol):
    """Something that runs flows: a client."""

    def run(self, flow: Flow[R]) -> R:
        """Runs the flow and blocks until its result."""
        ...

    async def arun(self, flow: Flow[R]) -> R:
        """Runs the flow without blocking the event loop."""
        ...


class DualCall(Generic[P, R]):
    """A call that blocks. `.aio(…)` is the same as a coroutine."""

    def __init__(self, flow: Callable[P, Flow[R]], client: Callable[[], RunsFlows]) -> None:
        self.flow = flow
        self._client = client
        self.__doc__ = flow.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the flow and blocks until its result."""
        flow = self.flow(*args, **kwargs)  # what is wrong is refused before a broker is started
        return self._client().run(flow)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same call as a coroutine, for asyncio."""
        import asyncio

        flow = self.flow(*args, **kwargs)
        client = await asyncio.to_thread(self._client)  # which may have to start the broker
        return await client.arun(flow)


def dual_function(client: Callable[[], RunsFlows]) -> Callable[[Callable[P, Flow[R]]], DualCall[P, R]]:
    """Decorates a function that returns a flow: calling it runs the flow on this client, blocking or with `.aio`."""
    return lambda flow: DualCall(flow, client)


class dual_method(Generic[P, R]):
    """The same for a method; `_runs()` of its object is the client that runs the flow."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[R]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> dual_method[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> DualCall[P, R]: ...
    def __get__(self, instance: Any, owner: type) -> DualCall[P, R] | dual_method[P, R]:
        if instance is None:
            return self
        return DualCall(partial(self._flow, instance), instance._runs)


def drive(flow: Flow[R], answer: Callable[[Action], Answer]) -> R:
    """Runs a flow, performing each action by `answer`; its errors, KeyboardInterrupt too, are thrown into the flow."""
    try:
        action = next(flow)
        while True:
            try:
                got = answer(action)
            except BaseException as error:
                action = flow.throw(error)
            else:
                action = flow.send(got)
    except StopIteration as done:
        found: R = done.value
        return found


async def adrive(flow: Flow[R], answer: Callable[[Action], Awaitable[Answer]]) -> R:
    """`drive` for an event loop; cancellation of the task is thrown into the flow like any error."""
    try:
        action = next(flow)
        while True:
            try:
                got = await answer(action)
            except BaseException as error:
                action = flow.throw(error)
            else:
                action = flow.send(got)
    except StopIteration as done:
        found: R = done.value
        return found
