"""The log of a call at Modal → the streams of its attempt, and its agent's messages, until the call has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog

from broker.model.errors import ExecutorError
from executors.modal_pool.errors import translated
from executors.remote.backoff import Backoff
from executors.remote.lines import frame
from executors.remote.output import Copy

log = structlog.get_logger()

OPENS: Final = {"stdout": "open", "stderr": "ready"}
CLOSES: Final = {"stdout": "closed", "stderr": "end"}
LATE: Final = 3  # how often a log is read again that has no end, though its call has


class CallLog:
    """Follows the log of one call in a task of its own; after a lost connection it is read again from its start."""

    def __init__(self, pool: str, call: Any, copies: Mapping[str, Copy], news: asyncio.Event) -> None:
        self._pool, self._call, self._copies, self._news = pool, call, copies, news
        self._open: dict[str, bool] = {}  # streams that were opened -> whether they are still
        self._cut: dict[str, str] = {}  # the beginning of a line whose end is to come
        self._task = asyncio.create_task(self._followed())

    async def over(self) -> str:
        """Waits for the end of the call and says how it ended: exit, timeout, terminated, lost or gone."""
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Stops following."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _followed(self) -> str:
        backoff = Backoff()
        late = 0
        try:
            while True:
                try:
                    await self._read(whole=late > 0)
                    if self._closed:
                        return "exit"
                    how = await self._ended()
                    if how and (late := late + 1) > LATE:
                        return how
                except ExecutorError as error:
                    log.info("a call is followed again", pool=self._pool, error=str(error))
                await backoff.pause()
        finally:
            self._news.set()

    @property
    def _closed(self) -> bool:
        return len(self._open) == len(CLOSES) and not any(self._open.values())

    async def _read(self, *, whole: bool) -> None:
        """Reads the log from its start: as it comes, or `whole`, once the call has ended.

        Modal promises only of the second that nothing is missing.
        """
        self._open, self._cut = {}, {}
        for copy in self._copies.values():
            copy.begin()
        with translated(self._pool, "reading a call's output"):
            stream = self._call.logs.fetch.aio() if whole else self._call.logs.stream.aio()
            try:
                async for entry in stream:
                    for line in self._lines(entry.source, entry.message):
                        self._take(entry.source, line)
                    if self._closed:
                        return
            finally:
                await stream.aclose()

    def _lines(self, source: str, text: str) -> list[str]:
        """Whole lines: a log may cut them anywhere."""
        *whole, self._cut[source] = (self._cut.get(source, "") + text).split("\n")
        return [f"{line}\n" for line in whole]

    def _take(self, source: str, line: str) -> None:
        """A line of the agent's, between those of Modal's own and of other calls in the container."""
        if source not in self._copies:
            return
        told = frame(line)
        if told and told["kind"] == OPENS[source]:
            self._open[source] = True
        if self._open.get(source) or (told and told["kind"] == "taken"):
            self._copies[source].take(line)
        if told and told["kind"] == CLOSES[source] and source in self._open:
            self._open[source] = False

    async def _ended(self) -> str:
        """How the call ended, as Modal says; empty while it goes on."""
        import modal

        with translated(self._pool, "asking how a call ended"):
            try:
                graph = await self._call.get_call_graph.aio()
            except modal.exception.NotFoundError:
                return "gone"
        status = graph[0].status if graph else modal.types.InputStatus.PENDING
        known = {modal.types.InputStatus.PENDING: "", modal.types.InputStatus.TERMINATED: "terminated"}
        known[modal.types.InputStatus.TIMEOUT] = "timeout"
        return known.get(status, "lost")
