"""Reports: what is known of each attempt, with versions for those who wait, journalled to outlive the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.journal import Journal
from executors.on_machine.order import Order

Report = dict[str, Any]


class Reports:
    """Reports by attempt id."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._journal = Journal(root / "journal.jsonl")
        self._reports: dict[str, Report] = self._journal.reports
        self._changed = asyncio.Condition()
        self._version = 1
        for report in self._reports.values():
            report["version"] = 1
            if report["ended_ns"] is None:
                self._interrupt(report)

    def _interrupt(self, report: Report) -> None:
        now = time.time_ns()
        report |= {"state": "interrupted", "at_ns": now, "ended_ns": now, "released_ns": now}
        report["reason"] = "the host process of the serverless pool was lost, and the attempt with it"
        self._journal.write(report)
        AttemptDir(self._root / "attempts" / report["attempt_id"]).close_if_open(report)

    def known(self, attempt_id: str) -> bool:
        """Whether it was ever launched here."""
        return attempt_id in self._reports

    def going(self) -> list[str]:
        """Attempts that have not ended."""
        return [name for name, report in self._reports.items() if report["ended_ns"] is None]

    def all(self) -> list[Report]:
        """Everything."""
        return list(self._reports.values())

    async def launched(self, order: Order, unit: str) -> None:
        """An attempt has been given to a unit."""
        now = time.time_ns()
        report: Report = {
            "attempt_id": order.attempt_id,
            "state": "starting",
            "at_ns": now,
            "launched_ns": now,
            "started_ns": None,
            "ended_ns": None,
            "released_ns": None,
            "exit_code": None,
            "signal": None,
            "reason": "",
            "nodes": [unit] if unit else [],
            "held": {
                "cpus": order.cpus,
                "memory_bytes": order.memory_bytes,
                "gpus": order.gpus,
                "gpu_model": order.gpu_model,
            },
        }
        self._reports[order.attempt_id] = report
        await self._tell(report)

    async def started(self, attempt_id: str, at_ns: int) -> None:
        """Its command runs."""
        report = self._reports[attempt_id]
        report |= {"state": "running", "at_ns": at_ns, "started_ns": at_ns}
        await self._tell(report)

    async def ended(self, attempt_id: str, outcome: Report, released_ns: int) -> None:
        """It has ended, and holds its unit no more."""
        known = {name: value for name, value in outcome.items() if value is not None}
        report = self._reports[attempt_id]
        report |= {"at_ns": released_ns, "ended_ns": released_ns, **known, "released_ns": released_ns}
        await self._tell(report)

    async def _tell(self, report: Report) -> None:
        self._journal.write(report)
        async with self._changed:
            self._version += 1
            report["version"] = self._version
            self._changed.notify_all()

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[Report]]:
        """Reports newer than a version; waits for one for a while when there is none."""
        since = since if since <= self._version else 0
        if since == self._version and wait_s > 0:
            try:
                async with asyncio.timeout(wait_s), self._changed:
                    await self._changed.wait_for(lambda: self._version > since)
            except TimeoutError:
                return self._version, []
        return self._version, [report for report in self._reports.values() if report["version"] > since]

    def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops ended attempts."""
        for attempt_id in attempt_ids:
            report = self._reports.get(attempt_id)
            if report is not None and report["ended_ns"] is not None:
                del self._reports[attempt_id]
                self._journal.forget(attempt_id)
