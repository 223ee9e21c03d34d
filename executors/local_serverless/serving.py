"""Serving: an order and a unit → its environment built, its command run and watched, its outcome."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from executors.local_serverless.container import Container, Run
from executors.local_serverless.fleet import Fleet, Unit
from executors.on_machine import environment, work
from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.order import Order
from executors.on_machine.outcome import Outcome, ended, not_started, of_exit, with_lost_output, with_result_in_bounds
from executors.on_machine.output import Output
from executors.on_machine.warm import in_memory

GRACE_S: Final = 5.0  # between SIGTERM and SIGKILL of an attempt whose time is up
AGAIN_S: Final = 0.01  # between one SIGKILL and the next: some may be born while the others are ended
FULL_BYTES: Final = 1 << 20  # a disk with less is full

Started = Callable[[], Awaitable[None]]


@dataclass
class Serving:
    """One attempt on its way through a unit."""

    order: Order
    unit: Unit
    root: Path
    fleet: Fleet
    builds: dict[str, asyncio.Lock]  # by environment
    grace_s: float = 0.0

    def __post_init__(self) -> None:
        self._cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.folder = AttemptDir(self.root / "attempts" / self.order.attempt_id)  # where its output goes
        self._cwd: Path | None = None  # of the container that it was prepared in last

    @property
    def cancelled(self) -> bool:
        """Whether its end was asked for."""
        return self._cancelled.done()

    def cancel(self, grace_s: float) -> None:
        """Has it end within `grace_s`."""
        self.grace_s = grace_s
        if not self._cancelled.done():
            self._cancelled.set_result(None)

    async def prepare(self) -> None:
        """Builds its environment where that is missing, and makes its unit ready; may be cancelled at any moment."""
        self.folder.make()
        await self._build()
        if not self.unit.ready:
            await self.fleet.start(self.unit)
        await self._copy(self.unit.container)

    def _secrets(self, container: Container) -> Path:
        return container.folder / f"secrets-{self.order.attempt_id}"

    async def _copy(self, container: Container) -> None:
        if self.order.secret_files:
            await asyncio.to_thread(self._aside, self._secrets(container), work.secret_files)
        if self.order.workdir is None and not self.order.file_mounts and not self.order.volumes:
            self._cwd = container.places.take()
        else:
            self._cwd = container.folder / self.order.attempt_id
            await asyncio.to_thread(self._aside, self._cwd, work.copy)

    def _aside(self, place: Path, make: Callable[[Order, Path], None]) -> None:
        """Makes a folder where no container sees it, then puts it in its place in one step.

        What ran in the container before could have left a link there that leads what is copied out of it.
        """
        aside = self.root / "containers" / f"aside-{self.order.attempt_id}"
        try:
            make(self.order, aside)
            aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _variables(self, container: Container) -> dict[str, str]:
        envs = work.base_variables(self.order, str(self._cwd), container.view.visible_gpus)
        if container.view.kind != "bubblewrap":
            envs["TMPDIR"] = str(container.folder)
        envs |= self.order.envs | work.secret_paths(self.order, self._secrets(container))
        return envs | environment.variables(self.order, envs["PATH"])

    async def _build(self) -> None:
        """Builds the environment in a container of its own, which may write to it; once per key."""
        home, cache = environment.home_of(self.order), self.root / "packages" / self.order.project
        if not environment.wanted(self.order) or (home / "ready").exists():
            return
        async with self.builds.setdefault(self.order.environment, asyncio.Lock()):
            if (home / "ready").exists():
                return
            for folder in (home, cache):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            builder = Container(self.root, self.fleet.build_view(self.order, cache))
            try:
                await builder.start()
                await self._copy(builder)
                for step in environment.steps(self.order):
                    await self._step(builder, step, cache)
                (home / "ready").touch()
            finally:
                await asyncio.shield(builder.end())

    async def _step(self, builder: Container, step: environment.Step, cache: Path) -> None:
        variables = self._variables(builder)
        if not step.as_job:
            variables = work.hidden({**variables, "UV_CACHE_DIR": str(cache), "UV_LINK_MODE": "copy"})
        with ExitStack() as files:
            err = self._open(files, self.folder.stderr, os.O_APPEND)
            before = os.fstat(err).st_size
            run = await builder.run("build", step.argv, variables, str(self._cwd), (err, err))
            code = await run.exit
            builder.forget("build")
            if code:
                said = self.folder.stderr.read_bytes()[before : before + 4_000]
                raise environment.failure(step, code, said)

    def _open(self, files: ExitStack, path: Path, how: int) -> int:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        files.callback(os.close, file)
        return file

    async def run(self, started: Started) -> Outcome:
        """Runs the command or function to its end. Raises `ContainerFailed` when its container is lost."""
        with Output(self.folder, self.order.max_stream_bytes, asyncio.get_running_loop()) as output:
            try:
                run = await self._begin(output)
            except OSError as error:
                what = self.order.argv[0] if self.order.argv else "the function"
                return not_started(what, error.errno or 0, 0) | {"started_ns": None}
            await started()
            late = await self._watch(run)
        return with_lost_output(self._outcome(run.exit.result(), late), output.lost)

    async def _begin(self, output: Output) -> Run:
        container, order = self.unit.container, self.order
        with ExitStack() as files:
            ends = list(output.writers)
            if order.payload is not None:
                ends += [
                    files.enter_context(in_memory(order.payload)).fileno(),
                    self._open(files, self.folder.result, os.O_TRUNC),
                ]
            run = await container.run(order.attempt_id, order.argv, self._variables(container), str(self._cwd), ends)
        output.started()
        return run

    async def tidy(self) -> None:
        """Removes its working copy, and its secrets."""
        self.unit.container.forget(self.order.attempt_id)
        if self.order.secret_files:
            await asyncio.to_thread(shutil.rmtree, self._secrets(self.unit.container), ignore_errors=True)
        if self._cwd is not None and not self.unit.container.places.leave(self._cwd):
            await asyncio.to_thread(shutil.rmtree, self._cwd, ignore_errors=True)

    async def _watch(self, run: Run) -> bool:
        """Waits for the end; ends what is cancelled or late. True when it was late."""
        limit_s = self.order.max_duration_s
        over: set[asyncio.Future[Any]] = {run.exit, self._cancelled}
        await asyncio.wait(over, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        late = not run.exit.done() and not self.cancelled
        signum, grace_s = signal.SIGTERM, GRACE_S if late else self.grace_s
        while not run.exit.done():
            await self.unit.container.signal(self.order.attempt_id, signum)
            await asyncio.wait({run.exit}, timeout=grace_s)
            signum, grace_s = signal.SIGKILL, AGAIN_S
        return late

    def _outcome(self, code: int, late: bool) -> Outcome:
        if self.order.payload is not None and (code not in (0, 1) or not self.folder.result.stat().st_size):
            self.folder.result.unlink(missing_ok=True)  # it ended before it had written what came of it
        oom = code != 0 and self.unit.container.oom
        outcome = of_exit(self.order, self.folder, code, 0, timed_out=late, oom=oom, cancelled=self.cancelled)
        if self.order.payload is not None:
            outcome = with_result_in_bounds(outcome, self.folder)
        if outcome["state"] == "failed" and _full(self.root):
            outcome["reason"] += f"; the disk of {self.root} is full"
        return outcome | {"started_ns": None}


def _full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < FULL_BYTES


def setup_failed(error: Exception) -> Outcome:
    """The end of an attempt whose environment or working copy could not be made."""
    return ended("failed", exit_code=125, reason=f"could not be set up: {error}")
