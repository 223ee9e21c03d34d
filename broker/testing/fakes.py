"""Fakes of the ports for tests: a clock set by hand, and an executor that runs nothing and fails on request.

They keep the ports' promises, so that what passes on them can pass on a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from broker.model.errors import ExecutorError
from broker.model.jobs import AttemptReport, AttemptState, LaunchRequest
from broker.model.pools import Capability, Capacity, UnitState
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, UnitUsage, UsageReport
from broker.ports import ExecutorContext, LogChunk, Poll, Stream


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    ns: int = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        """The time it was set to."""
        return self.ns

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        self.ns += round(seconds * 1e9)


@dataclass
class _Run:
    request: LaunchRequest
    report: AttemptReport
    version: int
    launched_ns: int
    stdout: bytes = b""
    stderr: bytes = b""
    result: bytes | None = None


@dataclass
class FakeExecutor:
    """An executor of one unit, whose attempts start and end when a test says so.

    `fail_next[method]` is raised by the next call of that method, once. `calls` lists (method, argument) in order.
    """

    context: ExecutorContext
    fail_next: dict[str, ExecutorError] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    runs: dict[str, _Run] = field(default_factory=dict)
    version: int = 0
    opened_ns: int | None = None
    closed_ns: int | None = None

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FUNCTIONS, Capability.RAY_RUNTIME})

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._cancelled: set[str] = set()
        self._forgotten: set[str] = set()

    @classmethod
    def unavailable(cls) -> str | None:
        """None: it works everywhere."""
        return None

    def _called(self, method: str, argument: str = "") -> None:
        self.calls.append((method, argument))
        if error := self.fail_next.pop(method, None):
            raise error

    async def open(self) -> None:
        """Brings its one unit up."""
        self._called("open")
        self.opened_ns = self.opened_ns or self.context.clock.now_ns()

    async def close(self, *, stop: bool) -> None:
        """Ends what runs when asked to stop."""
        self._called("close", str(stop))
        if stop:
            for attempt_id in self.running():
                await self.move(attempt_id, AttemptState.CANCELLED, reason="the pool was stopped")
            self.closed_ns = self.context.clock.now_ns()

    async def launch(self, request: LaunchRequest) -> None:
        """Accepts it; it starts when `move` says so."""
        self._called("launch", request.attempt_id)
        if request.attempt_id in self.runs or request.attempt_id in self._forgotten:
            return
        now = self.context.clock.now_ns()
        state = AttemptState.CANCELLED if request.attempt_id in self._cancelled else AttemptState.STARTING
        report = AttemptReport(attempt_id=request.attempt_id, state=state, at_ns=now, unit_ids=(self.unit_id,))
        self.runs[request.attempt_id] = _Run(request, report, self.version, now)
        await self._publish(report)

    async def _publish(self, report: AttemptReport) -> None:
        async with self._changed:
            self.version += 1
            self.runs[report.attempt_id].report = report
            self.runs[report.attempt_id].version = self.version
            self._changed.notify_all()

    async def move(
        self, attempt_id: str, state: AttemptState, *, exit_code: int | None = None, reason: str = ""
    ) -> None:
        """What a test uses: the attempt enters a state, now."""
        now = self.context.clock.now_ns()
        before = self.runs[attempt_id].report
        started = before.started_ns if before.started_ns or state is not AttemptState.RUNNING else now
        report = AttemptReport(
            attempt_id=attempt_id,
            state=state,
            at_ns=now,
            started_ns=started,
            ended_ns=now if state.ended else None,
            exit_code=exit_code,
            reason=reason,
            unit_ids=(self.unit_id,),
        )
        await self._publish(report)

    def running(self) -> list[str]:
        """Ids of the attempts that have not ended."""
        return [attempt_id for attempt_id, run in self.runs.items() if not run.report.state.ended]

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """As the port promises."""
        self._called("poll", str(since))
        since = since if since <= self.version else 0
        if wait_s and self.version == since:
            with suppress(TimeoutError):  # what happens while a wait runs out is told as well
                async with asyncio.timeout(wait_s), self._changed:
                    await self._changed.wait_for(lambda: self.version != since)
        changed = tuple(run.report for run in self.runs.values() if run.version > since)
        return Poll(version=self.version, reports=changed)

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """What a test put into the run's `stdout` or `stderr`."""
        self._called("logs", attempt_id)
        run = self.runs[attempt_id]
        data = (run.stdout if stream == "stdout" else run.stderr)[offset : offset + limit]
        end = offset + len(data)
        whole = len(run.stdout if stream == "stdout" else run.stderr)
        return LogChunk(data=data, next_offset=end, complete=run.report.state.ended and end >= whole)

    async def result(self, attempt_id: str) -> bytes | None:
        """What a test put into the run's `result`."""
        self._called("result", attempt_id)
        return self.runs[attempt_id].result

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Ends an attempt at once."""
        self._called("cancel", attempt_id)
        self._cancelled.add(attempt_id)
        if attempt_id in self.running():
            await self.move(attempt_id, AttemptState.CANCELLED, reason="cancelled")

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Drops the reports of ended attempts."""
        for attempt_id in attempt_ids:
            self._called("forget", attempt_id)
            if self.runs.pop(attempt_id, None):
                self._forgotten.add(attempt_id)

    @property
    def unit_id(self) -> str:
        """The id of its one unit."""
        return f"{self.context.pool.name}-1"

    async def capacity(self) -> Capacity:
        """Its unit, with the room that attempts leave."""
        self._called("capacity")
        total = self.context.pool.unit
        free = total
        for attempt_id in self.running():
            free = free.minus(self.runs[attempt_id].request.resources)
        unit = UnitState(unit_id=self.unit_id, total=total, free=free)
        return Capacity(as_of_ns=self.context.clock.now_ns(), units=(unit,), max_units=1)

    async def usage(self, since_ns: int) -> UsageReport:
        """The unit since `open`, and the runs."""
        self._called("usage")
        now = self.context.clock.now_ns()
        if self.opened_ns is None:
            return UsageReport(as_of_ns=now, units=(), attempts=())
        unit = UnitUsage(
            unit_id=self.unit_id,
            resources=self.context.pool.unit,
            started_ns=self.opened_ns,
            ready_ns=self.opened_ns,
            ended_ns=self.closed_ns,
        )
        attempts = tuple(
            AttemptUsage(
                attempt_id=attempt_id,
                unit_id=self.unit_id,
                resources=_held(run.request.resources, self.context.pool.unit),
                started_ns=run.launched_ns,
                ended_ns=run.report.ended_ns,
            )
            for attempt_id, run in self.runs.items()
            if (run.report.ended_ns or now) >= since_ns
        )
        return UsageReport(as_of_ns=now, units=(unit,), attempts=attempts)


def _held(asked: Resources, unit: Resources) -> Resources:
    return asked if unit.fits(asked) else unit
