"""News: which reports have changed since somebody looked last, and a way to wait for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

Report = dict[str, Any]


class News:
    """A version that grows with each change; a report carries that of its last one."""

    def __init__(self, known: Mapping[str, Report]) -> None:
        self._known = known
        self._version = 1
        self._changed = asyncio.Condition()
        for report in known.values():
            report["version"] = 1

    async def tell(self, *reports: Report) -> None:
        """These have changed, all at once."""
        async with self._changed:
            self._version += 1
            for report in reports:
                report["version"] = self._version
            self._changed.notify_all()

    async def since(self, version: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version, and the version to ask for next; waits for one a while when there is none.

        Never one without the other: what happens while a wait runs out is told as well.
        """
        version = version if version <= self._version else 0
        if version == self._version and wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s), self._changed:
                    await self._changed.wait_for(lambda: self._version > version)
        return self._version, [report for report in self._known.values() if report["version"] > version]
