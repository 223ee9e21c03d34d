"""A way of asking, written once → a call that waits, and its twin for asyncio.

A flow is a generator: it yields what it asks, is sent the answers, and returns what came of it. Errors are thrown into
it, so that it can put something in order before they go on.
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
LONG_S: Final = 300.0  # for what has to be computed from a long history
LARGE_S: Final = 600.0  # for what may be large
CALLS: Final = "/v1/calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: object | bytes | None = None
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Awaited:
    """The end of a job is waited for, however long it takes; the answer is one result of `/v1/results`."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call is submitted, whose end is `Awaited` next; the answer is the line that says which job it became."""

    body: bytes  # of POST /v1/calls


Asked: TypeAlias = Ask | Called | Awaited
Flow: TypeAlias = Generator[Asked, Answer, R]


class Runs(Protocol):
    """What runs flows: a client."""

    def run(self, flow: Flow[R]) -> R:
        """Runs it and waits."""
        ...

    async def arun(self, flow: Flow[R]) -> R:
        """Runs it in an event loop, which is not held up."""
        ...


class Both(Generic[P, R]):
    """A call that waits. `.aio(…)` is the same as a coroutine."""

    def __init__(self, flow: Callable[P, Flow[R]], client: Callable[[], Runs]) -> None:
        self.flow = flow
        self._client = client
        self.__doc__ = flow.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it and waits."""
        flow = self.flow(*args, **kwargs)  # what is wrong is refused before a broker is started
        return self._client().run(flow)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The same, for asyncio."""
        import asyncio

        flow = self.flow(*args, **kwargs)
        client = await asyncio.to_thread(self._client)  # which may have to start the broker
        return await client.arun(flow)


def asked_of(client: Callable[[], Runs]) -> Callable[[Callable[P, Flow[R]]], Both[P, R]]:
    """Makes a function that is a flow into a call of both kinds, which this client runs."""
    return lambda flow: Both(flow, client)


class twin(Generic[P, R]):
    """Makes a method that is a flow into a call of both kinds; its object says by `_runs` what runs it."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[R]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> twin[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Both[P, R]: ...
    def __get__(self, instance: Any, owner: type) -> Both[P, R] | twin[P, R]:
        if instance is None:
            return self
        return Both(partial(self._flow, instance), instance._runs)


def drive(flow: Flow[R], answer: Callable[[Asked], Answer]) -> R:
    """Runs a flow, asking by `answer`; what that raises is raised in the flow, an interrupt by the keyboard as well."""
    try:
        ask = next(flow)
        while True:
            try:
                got = answer(ask)
            except BaseException as error:
                ask = flow.throw(error)
            else:
                ask = flow.send(got)
    except StopIteration as done:
        found: R = done.value
        return found


async def adrive(flow: Flow[R], answer: Callable[[Asked], Awaitable[Answer]]) -> R:
    """The same in an event loop; a task that is cancelled is an error like any other."""
    try:
        ask = next(flow)
        while True:
            try:
                got = await answer(ask)
            except BaseException as error:
                ask = flow.throw(error)
            else:
                ask = flow.send(got)
    except StopIteration as done:
        found: R = done.value
        return found
