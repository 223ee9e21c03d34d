"""News: which reports have changed since somebody looked last, and a way to wait for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

Report = dict[str, Any]

# How long nobody is woken for what is soon followed by the end: that an attempt was accepted, which whoever launched it
# knows, and that its command runs.
ACCEPTED_S: Final = 0.2
BEGUN_S: Final = 0.03


class News:
    """A version that grows with each change; a report carries that of its last one."""

    def __init__(self, known: Mapping[str, Report]) -> None:
        self._known = known
        self._version = 1
        self._told = 1  # the version for which those who wait were woken
        self._woken = asyncio.Event()
        for report in known.values():
            report["version"] = 1

    def tell(self, *reports: Report, within_s: float = 0.0) -> None:
        """These have changed, all at once. Who waits is told now, or with what comes next within this time."""
        self._version += 1
        for report in reports:
            report["version"] = self._version
        if within_s:
            asyncio.get_running_loop().call_later(within_s, self._wake, self._version)
        else:
            self._wake(self._version)

    def _wake(self, version: int) -> None:
        if version > self._told:
            self._told = version
            self._woken.set()
            self._woken = asyncio.Event()

    async def since(self, version: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version, and the version to ask for next; waits for one a while when there is none.

        Never one without the other: what happens while a wait runs out is told as well.
        """
        version = version if version <= self._version else 0
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while self._told <= version:
                        await self._woken.wait()
        return self._version, [report for report in self._known.values() if report["version"] > version]
