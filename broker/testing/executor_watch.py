"""Watching an executor: polls → the newest report of each attempt, held to the order of states; output put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from broker.model.errors import NoCapacity
from broker.model.jobs import ATTEMPT_MOVES, AttemptReport, AttemptState, LaunchRequest
from broker.ports import Executor, Stream

PATIENCE_S = 150.0  # a limit for what must happen, not a target: beyond the longest pause of a broker, a minute


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


@dataclass
class Watch:
    """One executor as the broker sees it; what it reports is checked on the way.

    Attempts launched here are remembered, so that a test that fails leaves nothing running (`end_all`).
    """

    executor: Executor
    reports: dict[str, AttemptReport] = field(default_factory=dict)
    states: dict[str, list[AttemptState]] = field(default_factory=dict)  # all that were reported, in order
    launched: set[str] = field(default_factory=set)
    version: int = 0

    async def poll(self, wait_s: float = 0.0) -> None:
        """Polls once, and takes over what is new."""
        poll = await self.executor.poll(self.version, wait_s)
        self.version = poll.version
        for report in poll.reports:
            self._take(report)

    def _take(self, report: AttemptReport) -> None:
        before = self.reports.get(report.attempt_id)
        if before is not None and before.state is not report.state:
            assert report.state in ATTEMPT_MOVES[before.state], f"{before.state} → {report.state}: {report}"
        if before is not None and before.state.ended:
            assert report == before, f"an end was changed: {before} → {report}"
        if report.state.ended:
            assert report.ended_ns is not None, report
            assert (report.started_ns or report.ended_ns) <= report.ended_ns, report
        self.reports[report.attempt_id] = report
        self.states.setdefault(report.attempt_id, []).append(report.state)

    async def until(
        self, attempt_id: str, wanted: Callable[[AttemptReport], bool], within_s: float = PATIENCE_S
    ) -> AttemptReport:
        """The first report of an attempt that is as wanted. Fails when it ends otherwise, or takes too long."""
        try:
            async with asyncio.timeout(within_s):
                while attempt_id not in self.reports or not wanted(self.reports[attempt_id]):
                    known = self.reports.get(attempt_id)
                    assert known is None or not known.state.ended, f"ended: {known}"
                    await self.poll(5.0)
        except TimeoutError:
            raise AssertionError(f"within {within_s:g} s only: {self.reports.get(attempt_id)}") from None
        return self.reports[attempt_id]

    async def ended(self, attempt_id: str, within_s: float = PATIENCE_S) -> AttemptReport:
        """Waits until an attempt has ended: its last report."""
        return await self.until(attempt_id, lambda report: report.state.ended, within_s)

    async def running(self, attempt_id: str) -> AttemptReport:
        """Waits until the command of an attempt runs."""
        return await self.until(attempt_id, lambda report: report.state is AttemptState.RUNNING)

    async def launch(self, request: LaunchRequest) -> None:
        """Launches; waits for room while there is none."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(NoCapacity):
                    self.launched.add(request.attempt_id)
                    await self.executor.launch(request)
                    return
                await self.poll(0.2)

    async def run(self, request: LaunchRequest) -> AttemptReport:
        """Launches and waits for the end."""
        await self.launch(request)
        return await self.ended(request.attempt_id)

    async def output(self, attempt_id: str, stream: Stream = "stdout", limit: int = 1 << 20) -> bytes:
        """All of a stream, to its end."""
        pieces = []
        offset = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                chunk = await self.executor.logs(attempt_id, stream, offset, limit)
                assert len(chunk.data) <= limit
                assert chunk.next_offset == offset + len(chunk.data)
                pieces.append(chunk.data)
                offset = chunk.next_offset
                if chunk.complete:
                    return b"".join(pieces)
                if not chunk.data:
                    await asyncio.sleep(0.01)

    async def says(self, attempt_id: str, text: bytes, stream: Stream = "stdout") -> bytes:
        """What it has written so far, once `text` is in it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(KeyError):  # no folder yet
                    chunk = await self.executor.logs(attempt_id, stream)
                    if text in chunk.data:
                        if chunk.complete:  # a short command may have ended meanwhile, one that goes on has not
                            await self.ended(attempt_id)
                        return chunk.data
                await asyncio.sleep(0.01)

    async def end_all(self) -> None:
        """Ends what it launched and forgets it."""
        for attempt_id in self.launched:
            await self.executor.cancel(attempt_id, grace_s=0.0)
        known = {report.attempt_id for report in (await self.executor.poll(0)).reports}
        for attempt_id in self.launched & known:
            self.reports.pop(attempt_id, None)
        self.version = 0
        for attempt_id in self.launched & known:
            await self.ended(attempt_id)
        await self.executor.forget(sorted(self.launched))


def processes_with(word: str) -> list[int]:
    """Processes of this machine that have `word` among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found
