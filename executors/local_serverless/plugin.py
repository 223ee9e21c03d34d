"""The executor plugin in the broker's process: the `Executor` port → requests to the pool's host process."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from broker.model.errors import NoCapacity, Rejected, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Capacity, UnitState
from broker.model.resources import Resources
from broker.model.usage import UnitUsage, UsageReport
from broker.ports import ExecutorContext, LogChunk, Poll, Stream
from executors.local_serverless import sandbox
from executors.local_serverless.fleet import Limits
from executors.local_serverless.options import Options
from executors.on_machine import limits
from executors.on_machine.attempt_dir import AttemptDir, read_result, read_stream
from executors.on_machine.link import Link
from executors.on_machine.order import order_of
from executors.on_machine.reporting import attempt_report, attempt_usage

START_TIMEOUT_S = 20.0


class LocalServerless:
    """Runs attempts in containers on this machine; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.FUNCTIONS, Capability.SCALE})

    @classmethod
    def unavailable(cls) -> str | None:
        """It needs Linux."""
        return None if sys.platform == "linux" else "it needs Linux: its containers are made of namespaces"

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._pool = context.pool
        self._options = Options.of(context.pool.name, context.pool.options)
        self._dir = context.state_dir
        self._link = Link(f"pool {context.pool.name}")
        self._last: dict[str, Any] | None = None
        self._note = ""

    async def open(self) -> None:
        """Connects to the pool's host, started when there is none."""
        if self._link.alive:
            return
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        isolation = self._options.isolation
        if isolation == "auto":
            isolation = await asyncio.to_thread(sandbox.strongest)
        self._note = f"containers on this machine: {isolation}, {limits.kind()}"
        if not await self._connected():
            await self._start(isolation)

    async def _connected(self) -> bool:
        try:
            self._link.attach(*await asyncio.open_unix_connection(str(self._dir / "host.sock")))
        except OSError:
            return False
        return True

    async def _start(self, isolation: str) -> None:
        wanted = Limits(
            max_containers=self._pool.max_units,
            unit=self._pool.unit,
            scaledown_window_s=self._pool.scaledown_window_s,
            options=self._options,
            isolation=isolation,
        )
        (self._dir / "limits").write_bytes(pickle.dumps(wanted))
        with (self._dir / "host.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "executors.local_serverless.host", str(self._dir)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("BROKER_")},
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._connected():
                    if process.poll() is not None:
                        raise Unreachable(f"pool {self._pool.name}: its host ended at once; see {self._dir}/host.log")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise Unreachable(f"pool {self._pool.name}: its host did not answer; see {self._dir}/host.log") from None

    async def close(self, *, stop: bool) -> None:
        """Disconnects; with `stop`, ends the attempts, the containers and the host."""
        if stop and self._link.alive:
            self._last = await self._link.call("stop", timeout_s=60.0)
        await self._link.close()

    async def launch(self, request: LaunchRequest) -> None:
        """Hands the order to the host, which finds a container for it."""
        if request.spec.resources.num_nodes > 1:
            raise Rejected(f"pool {self._pool.name} runs jobs of one node only")
        order = order_of(request, self._pool, self._options.max_log_bytes, str(self._dir))
        if not await self._link.call("launch", order):
            raise NoCapacity(f"pool {self._pool.name}: all {self._pool.max_units} containers are taken")

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """What the host has to report."""
        version, reports = await self._link.call("poll", since, wait_s, timeout_s=wait_s + 30.0)
        return Poll(version=version, reports=tuple(attempt_report(report) for report in reports))

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Read from the attempt's folder."""
        return await asyncio.to_thread(read_stream, self._folder(attempt_id), stream, offset, limit)

    async def result(self, attempt_id: str) -> bytes | None:
        """Read from the attempt's folder."""
        return await asyncio.to_thread(read_result, self._folder(attempt_id))

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(self._dir / "attempts" / attempt_id)

    async def usage(self, since_ns: int) -> UsageReport:
        """Lives of containers, and who held them."""
        as_of = self._context.clock.now_ns()
        held = self._last if self._last and not self._link.alive else await self._link.call("held")
        units = {life["attempt_id"]: _unit(life) for life in held["units"] if life["started_ns"] <= as_of}
        attempts = tuple(
            attempt_usage(report, unit, units[unit].ended_ns)
            for report in held["reports"]
            if (report["released_ns"] or as_of) >= since_ns and report["launched_ns"] <= as_of
            for unit in report["nodes"]
            if unit in units
        )
        return UsageReport(
            as_of_ns=as_of,
            units=tuple(unit for unit in units.values() if unit.ended_ns is None or unit.ended_ns >= since_ns),
            attempts=attempts,
        )

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks the host."""
        await self._link.call("cancel", attempt_id, grace_s)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Asks the host."""
        await self._link.call("forget", list(attempt_ids))

    async def capacity(self) -> Capacity:
        """Containers that are up; more can be started up to the limit."""
        held = await self._link.call("held")
        units = tuple(
            UnitState(
                unit_id=one["id"],
                total=one["resources"],
                free=one["resources"] if one["busy"] < self._options.concurrency else Resources(),
                ready=one["ready"],
                warm_key=one["environment"],
            )
            for one in held["up"]
        )
        return Capacity(
            as_of_ns=self._context.clock.now_ns(),
            units=units,
            max_units=self._pool.max_units,
            backoff_until_ns=held["backoff_until_ns"],
            note=self._note,
        )

    async def scale(self, units: int) -> None:
        """Keeps at least so many containers warm, once they have been started."""
        if units > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} containers, not {units}")
        await self._link.call("scale", units)


def _unit(life: dict[str, Any]) -> UnitUsage:
    return UnitUsage(
        unit_id=life["attempt_id"],
        resources=Resources(**life["resources"]),
        started_ns=life["started_ns"],
        ready_ns=life["ready_ns"],
        ended_ns=life["ended_ns"],
        caused_by=life["caused_by"],
    )
