"""The fleet: containers that are up, given to attempts, kept warm for a while, replaced, and never more than allowed.

Sandboxes are prepared ahead: a container that is wanted takes one over, so that it is there at once. Until then a
prepared sandbox belongs to nobody, holds nothing and is not paid for.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from broker.model.pools import KeepWarm
from broker.model.resources import Resources
from executors.local_serverless.container import Container, ContainerFailed
from executors.local_serverless.gpus import Gpus
from executors.local_serverless.lives import Life, Lives
from executors.local_serverless.options import Options
from executors.local_serverless.prepared import Prepared
from executors.local_serverless.sandbox import View
from executors.on_machine import environment
from executors.on_machine.order import Order

FAILURES_BEFORE_BACKOFF: Final = 3  # in a row
MAX_BACKOFF_S: Final = 60.0
BEAT_S: Final = 1.0
_NEVER_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a fleet may grow to, and how its containers are made."""

    max_containers: int
    unit: Resources  # the most that one container may have
    emulated: bool  # its GPUs are logical
    devices: tuple[int, ...]  # else those it has, by number
    scaledown_window_s: float
    options: Options
    isolation: str

    @property
    def kept(self) -> KeepWarm:
        """How containers are kept warm before anything else is asked for."""
        return KeepWarm(
            scaledown_window_s=self.scaledown_window_s,
            min_containers=self.options.min_containers,
            buffer_containers=self.options.buffer_containers,
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What containers are warm for."""

    environment: str
    resources: Resources
    view: View


@dataclass
class Unit:
    """A container that is paid for."""

    shape: Shape
    life: Life
    gpus: tuple[int, ...]
    container: Container
    busy: set[str] = field(default_factory=set)  # attempts
    idle_since: float = 0.0  # monotonic

    @property
    def id(self) -> str:
        """Unique for ever."""
        return self.container.id

    @property
    def ready(self) -> bool:
        """Whether it can run attempts."""
        return self.life["ready_ns"] is not None


class Fleet:
    """All containers of a pool."""

    def __init__(self, root: Path, bounds: Bounds, lives: Lives, changed: Callable[[], None]) -> None:
        """`changed` is told whenever there may be more or less room, or containers are kept in another way."""
        self._root = root
        self._lives = lives
        self._changed = changed
        self._up: dict[str, Unit] = {}
        self._last: Shape | None = None  # the last that was wanted: what is started ahead is like it
        self._failures = 0
        self._wake = asyncio.Event()
        self._looks_at = 0.0  # monotonic: when it is looked next which containers are to end
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = 0  # warm containers, by `scale`
        self.kept = KeepWarm(scaledown_window_s=0.0)
        self.backoff_until_ns = 0
        self._prepared = Prepared(root, self._failed)
        self._gpus = Gpus()
        self.bound(bounds)

    def bound(self, bounds: Bounds) -> None:
        """Takes over what it may grow to."""
        self._bounds = bounds
        logical = range(round(bounds.unit.gpus * bounds.max_containers))
        self._gpus.have(logical if bounds.emulated else bounds.devices)
        self._prepared.want(self._plain(), bounds.options)
        self.keep_warm(bounds.kept)

    def _plain(self) -> View:
        return View(
            kind=self._bounds.isolation,
            readable=tuple(Path(folder) for folder in self._bounds.options.readable),
            modules=("cloudpickle", *self._bounds.options.preload) if self._bounds.options.prepared else (),
        )

    def _view(self, order: Order) -> View:
        """What a container for an order sees; the plain one serves most, so that prepared ones are of use to all."""
        plain = self._plain()
        modules = ("cloudpickle", *self._bounds.options.preload) if order.payload is not None else plain.modules
        volumes = tuple(Path(folder) for folder in sorted(set(order.volumes.values()) - order.read_only))
        readable = (*plain.readable, *map(Path, sorted(order.read_only)))
        if not environment.wanted(order):
            return View(kind=plain.kind, readable=readable, writable=volumes, modules=modules)
        python = environment.python_of(order) if order.payload is not None else sys.executable
        return View(
            kind=plain.kind,
            writable=volumes,
            readable=(*readable, environment.home_of(order)),
            python=python,
            modules=modules,
        )

    def build_view(self, order: Order, cache: Path) -> View:
        """What the build of an order's environment sees."""
        plain = self._plain()
        files = tuple(Path(one) for one in order.requirements if one.startswith("/"))
        return View(kind=plain.kind, readable=(*plain.readable, *files), writable=(environment.home_of(order), cache))

    def shape(self, order: Order) -> Shape:
        """What a container has to be for an order."""
        held = Resources(cpus=order.cpus, memory_bytes=order.memory_bytes, gpus=order.gpus, gpu_model=order.gpu_model)
        return Shape(order.environment, held, self._view(order))

    def works(self, shape: Shape) -> bool:
        """Whether an attempt runs, or is about to, in a container of a shape."""
        return any(unit.busy and unit.shape == shape for unit in self._up.values())

    def take(self, order: Order) -> Unit | str:
        """A unit for an order: a warm one, or a new one that is to be started; or why there is none."""
        shape = self.shape(order)
        unit = self._warm(shape) or self._new(shape, order.attempt_id)
        if isinstance(unit, Unit):
            unit.busy.add(order.attempt_id)
            self._changed()
            if unit.ready or not environment.wanted(order):  # otherwise its environment is yet to be built
                self._last = shape
            self._fill()
        return unit

    def _warm(self, shape: Shape) -> Unit | None:
        for unit in self._up.values():
            if unit.ready and unit.shape == shape and len(unit.busy) < self._bounds.options.concurrency:
                if unit.container.alive:
                    return unit
                self.drop(unit)
                return self._warm(shape)
        return None

    def _new(self, shape: Shape, caused_by: str | None) -> Unit | str:
        if self._lives.clock.now_ns() < self.backoff_until_ns:
            return "containers keep failing to start; none is started for a while"
        if len(self._up) >= self._bounds.max_containers and not self._make_room():
            return f"all {self._bounds.max_containers} containers are taken"
        gpus = self._gpus.take(shape.resources.gpus)
        while gpus is None and self._make_room(with_gpus=True):
            gpus = self._gpus.take(shape.resources.gpus)
        if gpus is None:
            return f"fewer than {shape.resources.gpus:g} GPUs are free"
        real = () if self._bounds.emulated else gpus
        view = replace(shape.view, gpus=real) if real else shape.view
        container = self._prepared.take(view) or Container(self._root, view, self._bounds.options.pids)
        unit = Unit(shape, self._lives.begin(container.id, shape.resources, caused_by), gpus, container)
        self._up[unit.id] = unit
        self._changed()
        return unit

    def _make_room(self, *, with_gpus: bool = False) -> bool:
        """Ends the container that has been idle longest, of those that hold GPUs or all; False when none is idle."""
        idle = [unit for unit in self._up.values() if unit.ready and not unit.busy and (unit.gpus or not with_gpus)]
        if idle:
            self.drop(min(idle, key=lambda unit: unit.idle_since))
        return bool(idle)

    async def start(self, unit: Unit) -> None:
        """Makes a new unit ready. Raises `ContainerFailed`, which counts towards a pause in starting any."""
        try:
            if not unit.container.alive:
                await unit.container.start()
            unit.container.limit(unit.shape.resources)
        except ContainerFailed as error:
            self._failed()
            raise ContainerFailed(f"no container could be started: {error}") from error
        self._failures, self.backoff_until_ns = 0, 0
        unit.life["ready_ns"] = self._lives.clock.now_ns()
        self._lives.note(unit.life)
        self._changed()
        self._last = unit.shape
        if not unit.container.view.gpus:
            self._prepared.want(unit.shape.view, self._bounds.options, self._plain())

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_BEFORE_BACKOFF:
            pause_s = min(2.0 ** (self._failures - FAILURES_BEFORE_BACKOFF), MAX_BACKOFF_S)
            self.backoff_until_ns = self._lives.clock.now_ns() + round(pause_s * 1e9)
            self._changed()

    def release(self, unit: Unit, attempt_id: str) -> None:
        """An attempt has left it; it stays warm for a while."""
        unit.busy.discard(attempt_id)
        unit.idle_since = time.monotonic()
        if not unit.ready or not unit.container.alive:
            self.drop(unit)
            self._wake.set()
        if unit.idle_since + self.kept.scaledown_window_s < self._looks_at:
            self._wake.set()
        self._changed()

    def drop(self, unit: Unit) -> None:
        """Takes one out of use and ends it."""
        if self._up.pop(unit.id, None) is None:
            return
        unit.life["ended_ns"] = self._lives.clock.now_ns()
        self._lives.note(unit.life)
        self._gpus.give_back(unit.gpus, unit.shape.resources.gpus)
        self._changed()
        self._spawn(unit.container.end())

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ask(self, units: int) -> None:
        """At least so many containers are kept warm from now on."""
        self._asked = units
        self._fill()
        self._wake.set()

    def keep_warm(self, setting: KeepWarm) -> None:
        """Containers are kept like this from now on."""
        self.kept = setting
        self._changed()
        self._fill()
        self._wake.set()

    def _spare(self) -> tuple[int, int]:
        """Idle containers that are to be kept, and those there are."""
        busy = sum(bool(unit.busy) for unit in self._up.values())
        floor = max(self._asked, self.kept.min_containers) - busy
        buffer = self.kept.buffer_containers if busy else 0
        return max(floor, buffer, 0), len(self._up) - busy

    def _fill(self) -> None:
        """Starts the containers that are to be warm and are not."""
        keep, have = self._spare()
        shape = self._last or Shape("", self._bounds.unit, self._plain())
        for _ in range(min(keep - have, self._bounds.max_containers - len(self._up))):
            unit = self._new(shape, None)
            if isinstance(unit, str):
                return
            self._spawn(self._start_warm(unit))

    async def _start_warm(self, unit: Unit) -> None:
        unit.idle_since = time.monotonic()
        try:
            await self.start(unit)
        except ContainerFailed as error:
            print(error, file=sys.stderr, flush=True)
            self.drop(unit)

    async def keep(self) -> None:
        """Ends containers whose idle time is over and starts those that are missing, until cancelled."""
        while True:
            self._wake.clear()
            self._fill()
            pause_s = self._end_idle(time.monotonic())
            if self._up:
                self._lives.beat()
                pause_s = min(pause_s, BEAT_S)
            self._looks_at = time.monotonic() + pause_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    def _end_idle(self, now: float) -> float:
        """Ends those that may go; seconds until the next may."""
        keep, _ = self._spare()
        idle = sorted((u for u in self._up.values() if u.ready and not u.busy), key=lambda unit: unit.idle_since)
        left_s = _NEVER_S
        for unit in idle[: max(len(idle) - keep, 0)]:
            due_s = unit.idle_since + self.kept.scaledown_window_s - now
            if due_s <= 0 or not unit.container.alive:
                self.drop(unit)
            else:
                left_s = min(left_s, due_s)
        return left_s

    def up(self) -> list[dict[str, Any]]:
        """What is up, for the plugin."""
        return [
            {
                "id": unit.id,
                "ready": unit.ready,
                "environment": unit.shape.environment,
                "resources": unit.shape.resources,
                "busy": len(unit.busy),
            }
            for unit in self._up.values()
        ]

    async def close(self) -> None:
        """Ends all."""
        for unit in list(self._up.values()):
            self.drop(unit)
        await self._prepared.close()
        while self._tasks:
            await asyncio.gather(*self._tasks)
