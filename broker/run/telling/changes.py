"""Changes: a counter that grows with every recorded change, and a way to wait for the next."""

from __future__ import annotations

import asyncio


class Changes:
    """Counts changes; whoever waits is woken by the next one."""

    def __init__(self) -> None:
        self.version = 1
        self._next = asyncio.Event()

    def happened(self) -> None:
        """Counts one and wakes those who wait."""
        self.version += 1
        self._next.set()
        self._next = asyncio.Event()

    async def after(self, since: int, timeout_s: float) -> int:
        """The version, as soon as it is not `since` any more, or after `timeout_s` seconds."""
        if self.version == since:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._next.wait()
            except TimeoutError:
                pass
        return self.version
