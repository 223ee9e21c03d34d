"""`Mapped`: many calls of a function → their results as they come, with as many under way as there is room for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from broker.model.errors import BrokerError
from broker.sdk.flow import Flow
from broker.sdk.job import Job, value_of
from broker.sdk.job_requests import cancel_job
from broker.sdk.results import EndedCall, read, results_request, split_records

if TYPE_CHECKING:
    from broker.sdk.client import Client

R = TypeVar("R")

WINDOW: Final = 1_024  # calls that are submitted and whose results were not taken yet
TOGETHER: Final = 128  # calls in one submission
TOGETHER_BYTES: Final = 4 << 20
_TAKEN_WITHIN_S: Final = 0.05  # elements that take longer to come are submitted as they are, so that no result waits
_MOST_ARRAYS: Final = 64  # of one question for results
Submit = Callable[["Client", list[bytes]], Flow[str]]


@dataclass(frozen=True, slots=True)
class Pickled:
    """The arguments of what one job does: of a call, or of a chunk of calls."""

    data: bytes
    calls: int | None = None  # in the chunk; None: it is a call


@dataclass(frozen=True, slots=True)
class _Raised:
    """What came of a call instead of a value."""

    error: BaseException


@dataclass(slots=True)
class _Array:
    """Calls that were submitted together and have not all ended."""

    first: int  # which of all calls its first one is
    going: set[int] = field(default_factory=set)  # indexes


class Mapped(Generic[R]):
    """The results of many calls: iterate over it, once. As a context manager it cancels in the end what is left."""

    def __init__(
        self,
        client: Callable[[], Client],
        calls: Iterator[Pickled],
        submit: Submit,
        *,
        ordered: bool,
        exceptions: bool,
    ) -> None:
        self._find = client
        self._calls: Iterator[Pickled] | None = calls
        self._submit = submit
        self._ordered = ordered
        self._exceptions = exceptions
        self._arrays: dict[str, _Array] = {}
        self._ready: dict[int, EndedCall] = {}  # by which of all calls, or chunks
        self._sizes: dict[int, int | None] = {}  # of those that are under way
        self._submitted = self._given = 0

    def __iter__(self) -> Iterator[R]:
        client = self._find()
        try:
            while (ended := client.run(self._next(client))) is not None:
                for outcome in client.run(self._outcomes(client, *ended)):
                    yield self._value(outcome)
        finally:
            client.run(self._left())

    async def __aiter__(self) -> AsyncIterator[R]:
        import asyncio

        client = await asyncio.to_thread(self._find)
        try:
            while (ended := await client.arun(self._next(client))) is not None:
                for outcome in await client.arun(self._outcomes(client, *ended)):
                    yield self._value(outcome)
        finally:
            await client.arun(self._left())

    def cancel(self) -> None:
        """Cancels what has not ended, and submits nothing more."""
        self._find().run(self._left())

    def __enter__(self) -> Mapped[R]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cancel()

    async def __aenter__(self) -> Mapped[R]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        import asyncio

        client = await asyncio.to_thread(self._find)
        await client.arun(self._left())

    def _next(self, client: Client) -> Flow[tuple[EndedCall, int | None] | None]:
        """The next result to be given out, submitting what there is room for meanwhile; None after the last.

        With it how many calls it is of, where it is of a chunk.
        """
        while (place := self._place()) is None:
            full = yield from self._fill(client)
            if not self._arrays:
                if self._calls is None:
                    return None
                continue
            yield from self._collect(60.0 if full else 0.0)
        self._given += 1
        return self._ready.pop(place), self._sizes.pop(place)

    def _place(self) -> int | None:
        if self._ordered:
            return self._given if self._given in self._ready else None
        return next(iter(self._ready), None)

    def _fill(self, client: Client) -> Flow[bool]:
        """Submits calls while there is room for more and they come at once; whether it need not be tried again soon."""
        until = time.monotonic() + _TAKEN_WITHIN_S
        while self._calls is not None and (room := self._given + WINDOW - self._submitted) > 0:
            some = self._taken(min(room, TOGETHER), until)
            if some:
                array = _Array(self._submitted, set(range(len(some))))
                self._arrays[(yield from self._submit(client, [each.data for each in some]))] = array
                self._sizes |= {self._submitted + at: each.calls for at, each in enumerate(some)}
                self._submitted += len(some)
            if time.monotonic() >= until:
                return self._calls is None
        return True

    def _taken(self, most: int, until: float) -> list[Pickled]:
        taken: list[Pickled] = []
        size = 0
        assert self._calls is not None
        for call in self._calls:
            taken.append(call)
            size += len(call.data)
            if len(taken) >= most or size >= TOGETHER_BYTES or time.monotonic() >= until:
                return taken
        self._calls = None
        return taken

    def _collect(self, timeout_s: float) -> Flow[None]:
        asked = list(self._arrays.items())[:_MOST_ARRAYS]
        answer = yield results_request([f"{name}:{listed(array.going)}" for name, array in asked], timeout_s)
        for job_id, record in split_records(answer.body):
            name, _, index = job_id.rpartition(".")
            array = self._arrays[name]
            array.going.discard(int(index))
            self._ready[array.first + int(index)] = read(record)
            if not array.going:
                del self._arrays[name]

    def _outcomes(self, client: Client, ended: EndedCall, chunk: int | None) -> Flow[list[Any]]:
        """What came of a call, or of each of a chunk; what ended the job before it had said so came of all of them."""
        try:
            value = yield from value_of(Job(client, ended.id), ended)
        except (Exception, SystemExit) as error:
            return [_Raised(error)] * (chunk or 1)
        return [value] if chunk is None else [_unpacked(each) for each in value]

    def _value(self, outcome: Any) -> R:
        value = outcome
        if isinstance(outcome, _Raised):
            if not self._exceptions:
                raise outcome.error
            value = outcome.error
        found: R = value
        return found

    def _left(self) -> Flow[None]:
        self._calls = None
        while self._arrays:
            name, _ = self._arrays.popitem()
            with suppress(BrokerError):
                yield from cancel_job(name)


def _unpacked(outcome: bytes) -> Any:
    from broker.sdk.pickling import unpacked

    try:
        return unpacked(outcome)
    except Exception as error:
        return _Raised(error)


def listed(indexes: set[int]) -> str:
    """Indexes as the API takes them: `0-57,60`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
