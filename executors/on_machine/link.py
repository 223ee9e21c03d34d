"""The link: numbered calls on a stream to another process of ours, and their answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from broker.model.errors import Unreachable
from executors.on_machine.frames import UNASKED, read_frame, write_frame

CALL_TIMEOUT_S = 30.0


class Link:
    """One connection; `who` names the other end in errors."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.told: Any = None  # what the other end has said last without being asked

    @property
    def alive(self) -> bool:
        """Whether the other end is there."""
        return self._writer is not None

    def attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Uses a connection."""
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (frame := await read_frame(reader)) is not None:
            number, problem, value = frame
            if number == UNASKED:
                self.told = value
                continue
            future = self._waiting.pop(number, None)
            if future is None or future.done():
                continue
            if problem is None:
                future.set_result(value)
            else:
                first = (problem.splitlines() or ["?"])[0]
                future.set_exception(Unreachable(f"{self._who} could not answer: {first}"))
        self._gone(writer)

    def _gone(self, writer: asyncio.StreamWriter) -> None:
        """The other end is not there any more, whether reading or writing was the first to find out."""
        writer.close()
        if self._writer is not writer:
            return
        self._writer = self.told = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable(f"{self._who} went away; it is started again"))
        self._waiting.clear()

    async def call(self, method: str, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Calls a method at the other end. Raises `Unreachable`."""
        writer = self._writer
        if writer is None:
            raise Unreachable(f"{self._who} is not connected")
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # who wrote in vain reads none
        self._waiting[number] = future
        try:
            async with asyncio.timeout(timeout_s):
                await write_frame(writer, (number, method, arguments))
                return await future
        except TimeoutError as error:
            raise Unreachable(f"{self._who} did not answer {method} within {timeout_s:g} s") from error
        except ConnectionError as error:
            self._gone(writer)
            raise Unreachable(f"{self._who} went away; it is started again") from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Ends the connection; the other process goes on."""
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        self._writer = self._reading = self.told = None
