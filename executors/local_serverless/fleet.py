"""The fleet: containers that are up, given to attempts, kept warm for a while, and metered."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.model.resources import Resources
from executors.local_serverless.container import Container, ContainerFailed
from executors.local_serverless.options import Options
from executors.on_machine import environment
from executors.on_machine.journal import Journal
from executors.on_machine.order import Order

FAILURES_BEFORE_BACKOFF = 3
MAX_BACKOFF_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a fleet may grow to."""

    max_containers: int
    unit: Resources  # the most that one container may have
    scaledown_window_s: float
    options: Options
    isolation: str


class Fleet:
    """All containers of a pool."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._up: dict[str, Container] = {}
        self._lives = Journal(root / "units.jsonl")
        self._failures = 0
        self._wake = asyncio.Event()
        self.backoff_until_ns = 0
        self._ending: set[asyncio.Task[None]] = set()
        self.floor = limits.options.min_containers  # warm containers that are asked for
        now = time.time_ns()
        for life in self._lives.reports.values():
            if life["ended_ns"] is None:
                self._lives.write(life | {"ended_ns": now})
                life["ended_ns"] = now

    def take(self, order: Order) -> Container | None:
        """A container for an order: a warm one, a new one, or one in the place of an idle one; None without room.

        A new one is not started yet: `started` says.
        """
        resources = _resources(order)
        for container in self._up.values():
            if self._suits(container, order, resources):
                container.busy.add(order.attempt_id)
                return container
        if len(self._up) >= self._limits.max_containers and not self._make_room():
            return None
        if time.time_ns() < self.backoff_until_ns or not self._limits.unit.fits(resources):
            return None
        container = Container(
            root=self._root,
            environment=order.environment,
            resources=resources,
            kind=self._limits.isolation,
            pids=self._limits.options.pids,
            caused_by=order.attempt_id,
        )
        container.busy.add(order.attempt_id)
        self._up[container.id] = container
        return container

    def _suits(self, container: Container, order: Order, resources: Resources) -> bool:
        return (
            container.environment == order.environment
            and container.resources == resources
            and len(container.busy) < self._limits.options.concurrency
            and (container.ready_ns is None or container.alive)
        )

    def _make_room(self) -> bool:
        idle = [container for container in self._up.values() if not container.busy]
        if not idle:
            return False
        self.drop(min(idle, key=lambda container: container.idle_since))
        return True

    async def start(self, container: Container, order: Order) -> None:
        """Starts a new one. Raises `ContainerFailed`, which counts towards a pause in starting any."""
        home = environment.home_of(order)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            await container.start([], [home] if environment.wanted(order) else [])
        except (ContainerFailed, OSError) as error:
            self._failures += 1
            if self._failures >= FAILURES_BEFORE_BACKOFF:
                pause_s = min(2.0 ** (self._failures - FAILURES_BEFORE_BACKOFF), MAX_BACKOFF_S)
                self.backoff_until_ns = time.time_ns() + round(pause_s * 1e9)
            self._note(container)
            raise ContainerFailed(f"no container could be started: {error}") from error
        self._failures, self.backoff_until_ns = 0, 0
        self._note(container)

    def release(self, container: Container, attempt_id: str) -> None:
        """An attempt has left it; it stays warm for a while."""
        container.busy.discard(attempt_id)
        container.idle_since = time.monotonic()
        if not container.alive:
            self.drop(container)
        self._wake.set()

    def drop(self, container: Container) -> None:
        """Takes one out of use and ends it."""
        if self._up.pop(container.id, None) is None:
            return
        container.ended_ns = container.ended_ns or time.time_ns()
        self._note(container)
        task = asyncio.create_task(self._end(container))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, container: Container) -> None:
        with suppress(OSError, AttributeError):
            await container.end()

    def _note(self, container: Container) -> None:
        life = {
            "attempt_id": container.id,
            "resources": {
                "cpus": container.resources.cpus,
                "memory_bytes": container.resources.memory_bytes,
                "gpus": container.resources.gpus,
                "gpu_model": container.resources.gpu_model,
            },
            "started_ns": container.started_ns,
            "ready_ns": container.ready_ns,
            "ended_ns": container.ended_ns,
            "caused_by": container.caused_by,
        }
        self._lives.write(life)
        self._lives.reports[container.id] = life

    async def scale_down(self) -> None:
        """Ends containers whose idle time is over, until cancelled."""
        while True:
            self._wake.clear()
            pause_s = self._end_idle(time.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    def _end_idle(self, now: float) -> float:
        """Ends those that may go; seconds until the next may."""
        idle = sorted((one for one in self._up.values() if not one.busy), key=lambda one: one.idle_since)
        keep = max(self.floor - (len(self._up) - len(idle)), self._limits.options.buffer_containers, 0)
        may_go = idle[: max(len(idle) - keep, 0)]
        due = [(one, one.idle_since + self._limits.scaledown_window_s - now) for one in may_go]
        for one, left_s in due:
            if left_s <= 0:
                self.drop(one)
        return min([left_s for _, left_s in due if left_s > 0], default=3600.0)

    def units(self) -> list[dict[str, Any]]:
        """Lives of all containers that are known."""
        return [life for life in self._lives.reports.values() if life["started_ns"]]

    def up(self) -> list[Container]:
        """Containers that count against the limit."""
        return list(self._up.values())

    def trim(self, before_ns: int) -> None:
        """Drops lives that ended before; they have been read."""
        for name, life in list(self._lives.reports.items()):
            if life["ended_ns"] is not None and life["ended_ns"] < before_ns:
                del self._lives.reports[name]
                self._lives.forget(name)

    async def close(self) -> None:
        """Ends all."""
        for container in self.up():
            self.drop(container)
        await asyncio.gather(*self._ending)


def _resources(order: Order) -> Resources:
    return Resources(cpus=order.cpus, memory_bytes=order.memory_bytes, gpus=order.gpus, gpu_model=order.gpu_model)
