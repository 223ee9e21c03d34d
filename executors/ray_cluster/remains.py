"""Remains: what a cluster of our own that is gone left in its pool's folder → how its attempts ended.

It answers as the supervisor would, so that all that ran is recorded and charged without a cluster started for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executors.on_machine.journal import Journal
from executors.on_machine.limits import end_left
from executors.on_machine.link import CALL_TIMEOUT_S
from executors.on_machine.reports import Report, Reports


class Remains:
    """The supervisor's journal without a supervisor: what was running ended with its cluster."""

    def __init__(self, root: Path) -> None:
        self._reports = Reports(root, Journal(root / "journal.jsonl"))

    async def settle(self, now_ns: int) -> None:
        """Ends what is left of its attempts."""
        for attempt_id in self._reports.going():
            await asyncio.to_thread(end_left, attempt_id)
        self._reports.interrupt("the Ray cluster", now_ns)

    async def call(self, method: str, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """As a link to the supervisor does."""
        async with asyncio.timeout(timeout_s):
            return await getattr(self, method)(*arguments)

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version."""
        return await self._reports.poll(since, wait_s)

    async def held(self) -> list[Report]:
        """All reports."""
        return self._reports.since(0)

    async def cancel(self, attempt_id: str, grace_s: float) -> None:
        """Nothing to do: none is under way, and none begins."""

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops ended attempts."""
        self._reports.forget(attempt_ids)
