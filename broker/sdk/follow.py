"""An event stream of the broker → an iterator over what its events mean, and its twin for asyncio."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from broker.model.errors import BrokerError, StoreError
from broker.sdk.event_stream import EventStream, ServerEvent
from broker.sdk.transport import Unanswered

if TYPE_CHECKING:
    from broker.sdk.async_transport import AsyncTransport
    from broker.sdk.transport import Transport

Meaning = TypeVar("Meaning")
Read = Callable[[ServerEvent], Meaning | None]
_LOST: Final = (Unanswered, StoreError)  # a broker whose database is away comes back as well


class Followed(Generic[Meaning]):
    """What happens, as it happens: iterate with `for` or `async for`.

    A lost connection is made again, and no event is repeated or left out. Raises `DaemonError` when the broker
    does not answer for a minute, and what it refuses.
    """

    def __init__(
        self,
        stream: Callable[[], EventStream],
        read: Callable[[], Read[Meaning]],
        transport: Transport,
        async_transport: Callable[[], AsyncTransport],
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        """`lost` is called when a connection is lost that is to be made again."""
        self._stream, self._read = stream, read
        self._transport, self._async_transport = transport, async_transport
        self._lost = lost

    def __iter__(self) -> Iterator[Meaning]:
        stream, read = self._stream(), self._read()
        while True:
            problem: BrokerError | None = None
            try:
                with self._transport.lines(stream.path, stream.params, stream.headers) as lines:
                    stream.begin()
                    for line in lines:
                        if (event := stream.read(line)) and (meaning := read(event)) is not None:
                            yield meaning
            except _LOST as error:
                problem = error
            if stream.ended:
                return
            time.sleep(self._rest_s(stream, problem))

    async def __aiter__(self) -> AsyncGenerator[Meaning]:
        import asyncio

        stream, read = self._stream(), self._read()
        while True:
            problem: BrokerError | None = None
            try:
                async with self._async_transport().lines(stream.path, stream.params, stream.headers) as lines:
                    stream.begin()
                    async for line in lines:
                        if (event := stream.read(line)) and (meaning := read(event)) is not None:
                            yield meaning
            except _LOST as error:
                problem = error
            if stream.ended:
                return
            await asyncio.sleep(self._rest_s(stream, problem))

    def _rest_s(self, stream: EventStream, problem: BrokerError | None) -> float:
        if not stream.away:
            self._lost()
        return stream.lost(problem)
