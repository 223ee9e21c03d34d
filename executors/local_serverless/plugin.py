"""The executor plugin in the broker's process: the `Executor` port → requests to the pool's host process."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from broker.model.errors import Misconfigured, NoCapacity, Rejected, Unreachable
from broker.model.jobs import LaunchRequest
from broker.model.pools import Capability, Capacity, KeepWarm, UnitState
from broker.model.resources import Resources
from broker.model.usage import AttemptUsage, UnitUsage, UsageReport
from broker.ports import ExecutorContext, LogChunk, Poll, Stream
from executors.local_serverless import sandbox
from executors.local_serverless.fleet import Bounds
from executors.local_serverless.options import Options
from executors.on_machine import limits
from executors.on_machine.attempt_dir import AttemptDir, result_of, stream_piece
from executors.on_machine.line import LIMIT
from executors.on_machine.link import Link
from executors.on_machine.order import order_of
from executors.on_machine.reporting import attempt_report, attempt_usage

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 60.0
_HERE: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class LocalServerless:
    """Runs attempts in containers on this machine; see `broker.ports.Executor` for what each method promises."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.FUNCTIONS,
            Capability.SCALE,
            Capability.KEEP_WARM,
            Capability.VOLUMES,
            Capability.READ_ONLY_VOLUMES,
            Capability.SECRET_FILES,
        }
    )

    @classmethod
    def unavailable(cls) -> str | None:
        """It needs Linux."""
        return None if sys.platform == "linux" else "it needs Linux: its containers are made of namespaces"

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._pool = context.pool
        self._options = Options.of(context.pool.name, context.pool.options)
        if context.volumes and not Path(context.volumes).is_absolute():
            message = f"volumes must be local, or a folder of this machine, not {context.volumes!r}"
            raise Misconfigured(f"pool {context.pool.name}: {message}")
        self._dir = context.state_dir
        self._link = Link(f"pool {context.pool.name}")
        self._host_pid: int | None = None  # where this process started it
        self._host_failed = False
        self._last: dict[str, Any] | None = None  # what was used, of a host that was stopped
        self._note = ""
        self._isolation = self._options.isolation

    async def open(self) -> None:
        """Connects to the pool's host, started when there is none."""
        if self._link.alive:
            return
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        bounds = await self._bounds()
        if not (await self._connected() and await self._configured(bounds)):
            await self._start(bounds)
        self._last = None

    async def _bounds(self) -> Bounds:
        isolation = self._options.isolation
        if isolation == "auto":
            isolation = await asyncio.to_thread(sandbox.strongest)
        self._isolation = isolation
        held = limits.kind() if limits.kind().startswith("cgroup") else "rlimits"
        self._note = f"containers on this machine: {isolation}, {held}"
        return Bounds(
            max_containers=self._pool.max_units,
            unit=self._pool.unit,
            emulated=self._pool.emulated,
            devices=self._pool.devices,
            scaledown_window_s=self._pool.scaledown_window_s,
            options=self._options,
            isolation=isolation,
        )

    async def _configured(self, bounds: Bounds) -> bool:
        """Whether the host that answered takes over the settings; not one that was just ending."""
        try:
            await self._link.call("configure", bounds)
        except Unreachable:
            await self._link.close()
            return False
        return True

    async def _connected(self) -> bool:
        try:
            self._link.attach(*await asyncio.open_unix_connection(str(self._dir / "host.sock")))
        except OSError:
            return False
        return True

    async def _start(self, bounds: Bounds) -> None:
        (self._dir / "bounds").write_bytes(pickle.dumps(bounds))
        self._host_gone()  # an earlier one, which is buried by that
        self._host_pid = _spawn_host(self._dir)
        log = self._dir / "host.log"
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._connected():
                    if self._host_gone() and self._host_failed:
                        raise Unreachable(f"pool {self._pool.name}: its host ended at once; see {log}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Unreachable(f"pool {self._pool.name}: its host did not answer; see {log}") from None

    def _host_gone(self) -> bool:
        """Whether the host that this process started has ended, which is taken note of."""
        if self._host_pid is not None:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self._host_pid, os.WNOHANG)
                if not pid:
                    return False
                self._host_failed = status != 0
        self._host_pid = None
        return True

    async def close(self, *, stop: bool) -> None:
        """Disconnects; with `stop`, ends the attempts, the containers and the host."""
        if stop and self._link.alive:
            self._last = await self._link.call("stop", timeout_s=STOP_TIMEOUT_S)
            await self._until(lambda: not self._link.alive)  # the host ends, and the connection with it
        await self._link.close()
        if stop and self._host_pid is not None:
            await self._until(self._host_gone)

    async def _until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while not holds():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Unreachable(f"pool {self._pool.name}: its host does not end; see {self._dir}/host.log") from None

    async def launch(self, request: LaunchRequest) -> None:
        """Hands the order to the host, which finds a container for it."""
        self._check(request)
        order = order_of(request, self._pool, self._context.max_stream_bytes, str(self._dir), self._context.volumes)
        if refusal := await self._link.call("launch", order):
            raise NoCapacity(f"pool {self._pool.name}: {refusal}")

    def _check(self, request: LaunchRequest) -> None:
        """Raises `Rejected` for what can never run here."""
        spec, name = request.spec, self._pool.name
        if spec.resources.num_nodes > 1:
            raise Rejected(f"pool {name} runs jobs of one node only, not of {spec.resources.num_nodes}")
        if spec.runtime == "ray":
            raise Rejected(f"pool {name} has no Ray runtime")
        if spec.function and spec.function.python != _HERE:
            raise Rejected(f"pool {name} runs functions of Python {_HERE}, not {spec.function.python}")
        gone = [volume for volume in spec.volumes.values() if not Path(self._context.volumes, volume).is_dir()]
        if gone:
            raise Rejected(f"pool {name}: the folder of the volume {gone[0]} is not in {self._context.volumes}")
        if spec.volumes_read_only and self._isolation != "bubblewrap":
            message = f"its containers ({self._isolation}) keep no job from writing to {spec.volumes_read_only[0]}"
            raise Rejected(f"pool {name}: {message}, which project {spec.project} may only read: install bubblewrap")
        models = {self._pool.unit.gpu_model, *self._pool.gpu_models}
        asked = request.resources
        if asked.gpus and asked.gpu_model and asked.gpu_model not in models:
            raise Rejected(f"pool {name} has no {asked.gpu_model}")
        most = self._pool.unit
        if not most.fits(Resources(cpus=asked.cpus, memory_bytes=asked.memory_bytes, gpus=asked.gpus)):
            raise Rejected(
                f"pool {name}: a container has at most {most.cpus:g} CPUs, {most.memory_bytes / 2**30:.3g} GiB and "
                f"{most.gpus:g} GPUs, not {asked.cpus:g}, {asked.memory_bytes / 2**30:.3g} GiB and {asked.gpus:g}"
            )

    async def poll(self, since: int = 0, wait_s: float = 0.0) -> Poll:
        """What the host has to report."""
        version, reports = await self._link.call("poll", since, wait_s, timeout_s=wait_s + 30.0)
        return Poll(version=version, reports=tuple(attempt_report(report) for report in reports))

    async def logs(self, attempt_id: str, stream: Stream, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Read from the attempt's folder."""
        return await stream_piece(self._folder(attempt_id), stream, offset, limit)

    async def result(self, attempt_id: str) -> bytes | None:
        """Read from the attempt's folder."""
        return await result_of(self._folder(attempt_id))

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(self._dir / "attempts" / attempt_id)

    async def usage(self, since_ns: int) -> UsageReport:
        """Lives of containers, and who held them."""
        held = self._last if self._last and not self._link.alive else await self._link.call("held", since_ns)
        as_of = min(held["as_of_ns"], self._context.clock.now_ns())
        units = {life["attempt_id"]: _unit(life, as_of) for life in held["units"] if life["started_ns"] <= as_of}
        attempts = tuple(
            _known(attempt_usage(report, unit, units[unit].ended_ns), as_of)
            for report in held["reports"]
            if report["launched_ns"] <= as_of
            for unit in report["nodes"]
            if unit in units
        )
        return UsageReport(as_of_ns=as_of, units=tuple(units.values()), attempts=attempts)

    async def cancel(self, attempt_id: str, grace_s: float = 5.0) -> None:
        """Asks the host."""
        await self._link.call("cancel", attempt_id, grace_s)

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """Asks the host."""
        await self._link.call("forget", list(attempt_ids))

    async def capacity(self) -> Capacity:
        """Containers that are up; more can be started up to the limit. The host says so whenever it changes."""
        held = self._link.told or await self._link.call("capacity")
        return Capacity(
            as_of_ns=self._context.clock.now_ns(),
            units=tuple(_state(one, self._options.concurrency) for one in held["up"]),
            max_units=self._pool.max_units,
            line=LIMIT,
            replaces_idle=True,
            backoff_until_ns=held["backoff_until_ns"],
            note=self._note,
            keep_warm=held["keep_warm"],
        )

    async def scale(self, units: int) -> None:
        """Keeps at least so many containers warm, like the one that was used last."""
        if units > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} containers, not {units}")
        await self._link.call("scale", units)

    async def keep_warm(self, setting: KeepWarm) -> None:
        """Keeps containers warm like this until the pool is opened again."""
        most = max(setting.min_containers, setting.buffer_containers)
        if most > self._pool.max_units:
            raise NoCapacity(f"pool {self._pool.name} has at most {self._pool.max_units} containers, not {most}")
        await self._link.call("keep_warm", setting)


def _spawn_host(root: Path) -> int:
    """Starts the host in a session of its own, without variables that are the broker's."""
    log = os.open(root / "host.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "executors.local_serverless.host", str(root)],
            {name: value for name, value in os.environ.items() if not name.startswith("BROKER_")},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
        )
    finally:
        os.close(log)


def _state(one: dict[str, Any], concurrency: int) -> UnitState:
    total: Resources = one["resources"]
    left = 1 - one["busy"] / concurrency
    free = Resources(
        cpus=total.cpus * left,
        memory_bytes=int(total.memory_bytes * left),
        gpus=total.gpus * left,
        gpu_model=total.gpu_model,
    )
    return UnitState(unit_id=one["id"], total=total, free=free, ready=one["ready"], warm_key=one["environment"])


def _unit(life: dict[str, Any], as_of_ns: int) -> UnitUsage:
    ready_ns, ended_ns = life["ready_ns"], life["ended_ns"]
    return UnitUsage(
        unit_id=life["attempt_id"],
        resources=Resources(**life["resources"]),
        started_ns=life["started_ns"],
        ready_ns=ready_ns if ready_ns is not None and ready_ns <= as_of_ns else None,
        ended_ns=ended_ns if ended_ns is not None and ended_ns <= as_of_ns else None,
        caused_by=life["caused_by"],
    )


def _known(usage: AttemptUsage, as_of_ns: int) -> AttemptUsage:
    """As it was at a time."""
    over = usage.ended_ns is not None and usage.ended_ns > as_of_ns
    return replace(usage, ended_ns=None) if over else usage
