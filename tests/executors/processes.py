"""What servers of the tests have in common that run other people's commands as processes of this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Written:
    """What came out of a process, for readers that may come late."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False
        self._news = asyncio.Condition()

    async def add(self, data: bytes, *, closed: bool = False) -> None:
        async with self._news:
            self.data += data
            self.closed = self.closed or closed
            self._news.notify_all()

    async def beyond(self, offset: int) -> bytes | None:
        """What is there beyond an offset, as soon as it is; None at the end."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.data) > offset or self.closed)
            return self.data[offset:] or None


def send(pids: Iterable[int], signum: int) -> None:
    """Signals those that are still there."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signum)
