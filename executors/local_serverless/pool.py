"""The pool: orders → attempts served by units, from their launch to their end; what the host is asked, answered."""

from __future__ import annotations

import asyncio
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from broker.model.pools import KeepWarm
from broker.model.resources import Resources
from executors.local_serverless.container import ContainerFailed
from executors.local_serverless.fleet import Bounds, Fleet, Unit
from executors.local_serverless.lives import Lives
from executors.local_serverless.serving import Serving, setup_failed
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.environment import EnvironmentFailed
from executors.on_machine.journal import Journal
from executors.on_machine.line import WHY_REFUSED, Line
from executors.on_machine.order import Order
from executors.on_machine.outcome import Outcome, ended
from executors.on_machine.processes import end, marked
from executors.on_machine.reports import Reports


class ServerlessPool:
    """Runs attempts; the methods without underscore are what the plugin calls."""

    def __init__(self, root: Path, bounds: Bounds, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is told whenever `capacity` may say something else."""
        self._root = root
        self._bounds = bounds
        journal = Journal(root / "journal.jsonl")
        self._lives = Lives(root, journal)
        self._clock = self._lives.clock
        self._reports = Reports(root, journal)
        for lost in self._reports.interrupt("the host process of the serverless pool", self._lives.interrupted_ns):
            self._end_marked(lost)
        self._fleet = Fleet(root, bounds, self._lives, changed)
        self._keeping = asyncio.create_task(self._fleet.keep())
        self._serving: dict[str, tuple[Serving, asyncio.Task[None]]] = {}
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._builds: dict[str, asyncio.Lock] = {}
        self._line = Line(self._refuse)
        self._refusing: set[asyncio.Task[None]] = set()

    async def configure(self, bounds: Bounds) -> None:
        """Takes over new settings; containers that are up stay as they are."""
        self._bounds = bounds
        self._fleet.bound(bounds)

    async def launch(self, order: Order) -> str:
        """Accepts an order; or says why there is no room. One that is known already is left alone."""
        if self._reports.known(order.attempt_id):
            return ""
        if self._reports.grace_s(order.attempt_id) is not None:
            await self._refuse_cancelled(order)
            return ""
        unit = self._fleet.take(order)
        if isinstance(unit, str):
            return "" if await self._lined_up(order) else unit
        try:
            await self._reports.launched(order.attempt_id, unit.id, self._held(order), self._clock.now_ns())
        except OSError:
            self._leave(unit, order)
            raise
        self._begin(order, unit)
        return ""

    def _begin(self, order: Order, unit: Unit) -> None:
        serving = Serving(order, unit, self._root, self._fleet, self._builds)
        self._serving[order.attempt_id] = (serving, asyncio.create_task(self._serve(serving, unit)))

    async def _lined_up(self, order: Order) -> bool:
        """Whether it may wait for the place of one like it."""
        shape = self._fleet.shape(order)
        if not order.in_line or self._line.full or not self._fleet.works(shape):
            return False
        AttemptDir(self._root / "attempts" / order.attempt_id).make()
        self._line.join(shape, order)
        try:
            await self._reports.launched(order.attempt_id, "", self._held(order), self._clock.now_ns())
        except OSError:
            self._line.leave(order.attempt_id)
            raise
        return True

    def _leave(self, unit: Unit, order: Order) -> None:
        """A unit is free again: for the next in line, if there is one. Where none is left, nobody waits any longer."""
        self._fleet.release(unit, order.attempt_id)
        while (following := self._line.first(unit.shape)) is not None:
            taken = self._fleet.take(following)
            if isinstance(taken, str):
                break
            self._line.leave(following.attempt_id)
            self._reports.placed(following.attempt_id, taken.id, self._clock.now_ns())
            self._begin(following, taken)
        if not self._fleet.works(unit.shape):
            for waiting in self._line.all(unit.shape):
                self._line.leave(waiting.attempt_id)
                self._refuse(waiting)

    def _refuse(self, order: Order) -> None:
        """It has waited in vain."""
        task = asyncio.create_task(self._end_unplaced(order.attempt_id, ended("refused", reason=WHY_REFUSED)))
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    async def _end_unplaced(self, attempt_id: str, outcome: Outcome) -> None:
        """The end of an attempt that held no unit."""
        AttemptDir(self._root / "attempts" / attempt_id).close_if_open(outcome)
        await self._reports.ended(attempt_id, outcome, self._clock.now_ns())

    def _held(self, order: Order) -> dict[str, Any]:
        """Its part of a unit, which attempts share evenly."""
        parts = self._bounds.options.concurrency
        held = Resources(
            cpus=order.cpus / parts,
            memory_bytes=order.memory_bytes // parts,
            gpus=order.gpus / parts,
            gpu_model=order.gpu_model,
        )
        return asdict(held)

    async def _refuse_cancelled(self, order: Order) -> None:
        await self._reports.launched(order.attempt_id, "", self._held(order), self._clock.now_ns())
        await self._end_unplaced(order.attempt_id, ended("cancelled", reason="cancelled before it ran"))

    async def _serve(self, serving: Serving, unit: Unit) -> None:
        attempt_id = serving.order.attempt_id
        outcome = await self._outcome(serving, unit)
        with suppress(OSError):
            await serving.tidy()
            serving.folder.close_if_open(outcome)
        await self._reports.ended(attempt_id, outcome, self._clock.now_ns())
        self._leave(unit, serving.order)
        self._serving.pop(attempt_id, None)

    async def _outcome(self, serving: Serving, unit: Unit) -> Outcome:
        """Runs it; whatever happens becomes an outcome."""
        attempt_id = serving.order.attempt_id
        try:
            if not await self._prepared(serving):
                return ended("cancelled", reason="cancelled before it ran")
            return await serving.run(lambda: self._reports.started(attempt_id, self._clock.now_ns()))
        except ContainerFailed as error:
            await asyncio.to_thread(self._end_marked, attempt_id)
            self._fleet.drop(unit)
            if serving.cancelled:
                return ended("cancelled", reason="cancelled")
            return ended("interrupted" if unit.ready else "refused", reason=str(error))
        except (EnvironmentFailed, OSError, shutil.Error) as error:
            return setup_failed(error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._fleet.drop(unit)
            return ended("failed", reason=f"the pool failed: {type(error).__name__}: {error}")

    async def _prepared(self, serving: Serving) -> bool:
        """Whether it is ready to run; False when it was cancelled meanwhile."""
        attempt_id = serving.order.attempt_id
        self._preparing[attempt_id] = asyncio.create_task(serving.prepare())
        try:
            await self._preparing[attempt_id]
        except asyncio.CancelledError:
            if not serving.cancelled:
                raise
        finally:
            del self._preparing[attempt_id]
        return not serving.cancelled

    def _end_marked(self, attempt_id: str) -> None:
        """Ends what a lost container has left, where no process namespace ended it."""
        if self._bounds.isolation == "process":
            end(lambda: marked("BROKER_ATTEMPT_ID", attempt_id), 0.0)

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[dict[str, Any]]]:
        """As the port's `poll`."""
        return await self._reports.poll(since, wait_s)

    async def held(self, since_ns: int) -> dict[str, Any]:
        """Reports and lives of containers, for usage."""
        reports = self._reports.since(since_ns)
        self._lives.trim(since_ns, {unit for report in self._reports.since(0) for unit in report["nodes"]})
        return {"as_of_ns": self._lives.beat(), "reports": reports, "units": self._lives.since(since_ns)}

    async def capacity(self) -> dict[str, Any]:
        """Containers that are up."""
        return self.room

    @property
    def room(self) -> dict[str, Any]:
        """The same at once."""
        return {
            "up": self._fleet.up(),
            "backoff_until_ns": self._fleet.backoff_until_ns,
            "keep_warm": self._fleet.kept,
        }

    async def cancel(self, attempt_id: str, grace_s: float) -> None:
        """As the port's `cancel`."""
        self._reports.cancel(attempt_id, grace_s)
        if self._line.leave(attempt_id):
            await self._end_unplaced(attempt_id, ended("cancelled", reason="cancelled before it ran"))
        if attempt_id in self._serving:
            serving, _ = self._serving[attempt_id]
            serving.cancel(grace_s)
        if preparing := self._preparing.get(attempt_id):
            preparing.cancel()

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """As the port's `forget`."""
        for attempt_id in self._reports.forget(attempt_ids):
            await asyncio.to_thread(shutil.rmtree, self._root / "attempts" / attempt_id, ignore_errors=True)

    async def scale(self, units: int) -> None:
        """Containers to keep warm."""
        self._fleet.ask(units)

    async def keep_warm(self, setting: KeepWarm) -> None:
        """How containers are kept warm."""
        self._fleet.keep_warm(setting)

    async def stop(self) -> dict[str, Any]:
        """Ends all attempts and containers; what `held` says after that."""
        for attempt_id in sorted(self._reports.going(), key=lambda one: one not in self._line):
            await self.cancel(attempt_id, 1.0)
        await asyncio.gather(*(task for _, task in self._serving.values()), *self._refusing)
        self._keeping.cancel()
        await self._fleet.close()
        return await self.held(0)
