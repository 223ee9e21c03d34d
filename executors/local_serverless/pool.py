"""The pool: orders → attempts in containers, from their environment to their end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from executors.local_serverless.container import Container, ContainerFailed
from executors.local_serverless.fleet import Fleet
from executors.local_serverless.reports import Reports
from executors.on_machine import environment, output, work
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.environment import EnvironmentFailed
from executors.on_machine.order import Order
from executors.on_machine.outcome import Outcome, ended, not_started, of_exit

LOOK_S = 0.25  # how often the size of an attempt's output is looked at
GRACE_S = 5.0  # between SIGTERM and SIGKILL of an attempt whose time is up


class ServerlessPool:
    """Runs attempts; the host's methods are these."""

    def __init__(self, root: Path, fleet: Fleet) -> None:
        self._root = root
        self._fleet = fleet
        self._reports = Reports(root)
        self._cancelled: dict[str, float] = {}  # attempt -> grace
        self._cancel_asked: dict[str, asyncio.Event] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._building: dict[str, asyncio.Lock] = {}

    def _folder(self, attempt_id: str) -> AttemptDir:
        return AttemptDir(self._root / "attempts" / attempt_id)

    async def launch(self, order: Order) -> bool:
        """Accepts an order; False when there is no room. One that is known already is left alone."""
        if self._reports.known(order.attempt_id):
            return True
        if order.attempt_id in self._cancelled:
            await self._reports.launched(order, "")
            now = time.time_ns()
            outcome = ended("cancelled", reason="cancelled before it ran")
            self._folder(order.attempt_id).close_if_open(outcome)
            await self._reports.ended(order.attempt_id, outcome, now)
            return True
        container = self._fleet.take(order)
        if container is None:
            return False
        self._cancel_asked[order.attempt_id] = asyncio.Event()
        await self._reports.launched(order, container.id)
        self._serving[order.attempt_id] = asyncio.create_task(self._serve(order, container))
        return True

    async def _serve(self, order: Order, container: Container) -> None:
        folder = self._folder(order.attempt_id)
        try:
            await asyncio.to_thread(folder.make)
            outcome = await self._attempt(order, container, folder)
        except ContainerFailed as error:
            state = "cancelled" if order.attempt_id in self._cancelled else "interrupted"
            outcome = ended(state, reason=str(error))
            self._fleet.drop(container)
        except (EnvironmentFailed, OSError, shutil.Error) as error:
            outcome = ended("failed", exit_code=125, reason=f"could not be set up: {error}")
        except Exception as error:
            outcome = ended("failed", reason=f"the pool failed: {type(error).__name__}: {error}")
            self._fleet.drop(container)
        with suppress(OSError):
            folder.close_if_open(outcome)
        await self._reports.ended(order.attempt_id, outcome, time.time_ns())
        self._fleet.release(container, order.attempt_id)
        self._serving.pop(order.attempt_id, None)
        self._cancel_asked.pop(order.attempt_id, None)

    async def _attempt(self, order: Order, container: Container, folder: AttemptDir) -> Outcome:
        if container.ready_ns is None:
            await self._fleet.start(container, order)
        cwd = container.folder / order.attempt_id
        await asyncio.to_thread(work.copy, order, cwd)
        envs = work.base_variables(order, str(cwd), os.environ.get("CUDA_VISIBLE_DEVICES", "")) | order.envs
        envs |= environment.variables(order, envs["PATH"])
        payload, result = cwd / ".payload", cwd / ".result"
        if order.payload is not None:
            folder.write_private(payload, order.payload)
        out = os.open(folder.stdout, os.O_WRONLY | os.O_APPEND)
        err = os.open(folder.stderr, os.O_WRONLY | os.O_APPEND)
        try:
            await self._build(order, container, cwd, envs, err)
            argv = work.call_argv(order, environment.python_of(order), payload, result)
            outcome = await self._command(order, container, argv, envs, cwd, folder, (out, err))
        finally:
            os.close(out)
            os.close(err)
        output.close(folder, order.max_log_bytes)
        if result.exists():
            shutil.copyfile(result, folder.result)
        await asyncio.to_thread(shutil.rmtree, cwd, ignore_errors=True)
        return outcome

    async def _build(self, order: Order, container: Container, cwd: Path, envs: dict[str, str], err: int) -> None:
        """Builds the environment inside the container, once per key."""
        home = environment.home_of(order)
        if not environment.wanted(order):
            return
        async with self._building.setdefault(order.environment, asyncio.Lock()):
            if (home / "ready").exists():
                return
            for number, step in enumerate(environment.steps(order)):
                env = envs if step.as_job else work.hidden({**envs, "UV_CACHE_DIR": str(home / "cache")})
                name = f"{order.attempt_id}/build/{number}"
                before = self._folder(order.attempt_id).stderr.stat().st_size
                run = await container.run(name, step.argv, env, cwd, err, err)
                code = await run.exit
                container.forget(name)
                if code:
                    said = self._folder(order.attempt_id).stderr.read_bytes()[before : before + 4_000]
                    raise environment.failure(step, code, said)
            (home / "ready").touch()

    async def _command(
        self,
        order: Order,
        container: Container,
        argv: list[str],
        envs: dict[str, str],
        cwd: Path,
        folder: AttemptDir,
        files: tuple[int, int],
    ) -> Outcome:
        name = order.attempt_id
        if name in self._cancelled:
            return ended("cancelled", reason="cancelled before it ran")
        started_ns = time.time_ns()
        try:
            run = await container.run(name, argv, envs, cwd, *files)
        except OSError as error:
            return not_started(argv[0], error.errno or 0, started_ns)
        started_ns = run.started.result()
        await self._reports.started(name, started_ns)
        timed_out = await self._watch(order, container, run.exit, folder)
        code = run.exit.result()
        container.forget(name)
        cancelled = name in self._cancelled
        return of_exit(order, folder, code, started_ns, timed_out=timed_out, oom=container.oom, cancelled=cancelled)

    async def _watch(
        self, order: Order, container: Container, exit_code: asyncio.Future[int], folder: AttemptDir
    ) -> bool:
        """Waits for the end, cuts output that is too long, ends what is cancelled or late. True when it was late."""
        name, begun = order.attempt_id, time.monotonic()
        asked = asyncio.create_task(self._cancel_asked[name].wait())
        limit_s = order.max_duration_s
        kill_at: float | None = None
        late = False
        try:
            while not exit_code.done():
                waiting: set[asyncio.Future[Any]] = {exit_code} if asked.done() else {exit_code, asked}
                await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                output.cut(folder, order.max_log_bytes)
                now = time.monotonic()
                if not late and limit_s is not None and now - begun > limit_s and not exit_code.done():
                    late = True
                if kill_at is None and (late or asked.done()) and not exit_code.done():
                    kill_at = now + (self._cancelled.get(name, GRACE_S))
                    await container.signal(name, signal.SIGTERM)
                if kill_at is not None and now >= kill_at and not exit_code.done():
                    await container.signal(name, signal.SIGKILL)
            exit_code.result()
        finally:
            asked.cancel()
        return late

    async def poll(self, since: int, wait_s: float) -> tuple[int, list[dict[str, Any]]]:
        """As the port's `poll`."""
        return await self._reports.poll(since, wait_s)

    async def held(self) -> dict[str, Any]:
        """Reports and lives of containers, for usage and capacity."""
        return {
            "now_ns": time.time_ns(),
            "reports": self._reports.all(),
            "units": self._fleet.units(),
            "up": [
                {
                    "id": one.id,
                    "ready": one.ready_ns is not None,
                    "environment": one.environment,
                    "resources": one.resources,
                    "busy": len(one.busy),
                }
                for one in self._fleet.up()
            ],
            "backoff_until_ns": self._fleet.backoff_until_ns,
        }

    async def cancel(self, attempt_id: str, grace_s: float) -> None:
        """As the port's `cancel`."""
        self._cancelled[attempt_id] = grace_s
        if asked := self._cancel_asked.get(attempt_id):
            asked.set()

    async def forget(self, attempt_ids: Sequence[str]) -> None:
        """As the port's `forget`."""
        self._reports.forget(attempt_ids)
        for attempt_id in attempt_ids:
            self._cancelled.pop(attempt_id, None)
            await asyncio.to_thread(shutil.rmtree, self._folder(attempt_id).path, ignore_errors=True)

    async def scale(self, units: int) -> None:
        """Containers to keep warm."""
        self._fleet.floor = units

    async def stop(self) -> dict[str, Any]:
        """Ends all attempts and containers; what `held` says after that."""
        for attempt_id in self._reports.going():
            await self.cancel(attempt_id, 1.0)
        await asyncio.gather(*self._serving.values())
        await self._fleet.close()
        return await self.held()
