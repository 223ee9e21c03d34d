"""A container: a sandboxed agent, the limits around it, and what it runs for its host."""

from __future__ import annotations

import array
import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from broker.model.resources import Resources
from executors.local_serverless import sandbox
from executors.local_serverless.places import Places
from executors.local_serverless.sandbox import View
from executors.on_machine import limits
from executors.on_machine.limits import NO_MEMORY_LIMIT, Limits
from executors.on_machine.processes import kill_group, start_agent

READY_TIMEOUT_S: Final = 20.0
_MOST_SAID: Final = 1 << 16  # bytes of one message of an agent, which has little to say
_DYING_LOOKS: Final = 400
_PAUSE_S: Final = 0.005
_NO_CPU_LIMIT: Final = 10_000.0


class ContainerFailed(Exception):
    """A container did not start, or ended under what it ran."""


@dataclass
class Run:
    """One command or function in a container."""

    started: asyncio.Future[None]  # or an OSError: it can't be executed
    exit: asyncio.Future[int]  # exit code, or minus a signal


@dataclass
class Container:
    """One container: `start` it, then `limit` it, then use it; `end` it after."""

    root: Path  # state folder of the pool
    view: View
    pids: int = 512  # processes and threads in it at most
    id: str = field(default_factory=lambda: f"c-{secrets.token_hex(6)}")

    def __post_init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._limits: Limits | None = None
        self._memory_bytes = 0
        self._oom_seen = 0
        self._sending = asyncio.Lock()
        self._said = b""  # by its agent, of a message that has not come whole
        self._losing: asyncio.Task[None] | None = None
        self.places = Places(self.folder)

    @property
    def folder(self) -> Path:
        """Its own writable folder: working copies live here."""
        return self.root / "containers" / self.id

    async def start(self) -> None:
        """Starts the agent. Raises `ContainerFailed`."""
        ours, theirs = socket.socketpair()
        try:
            self.folder.mkdir(parents=True, mode=0o700)
            view = replace(self.view, writable=(self.folder, *self.view.writable))
            fd = theirs.fileno()
            self._process = start_agent(sandbox.agent_argv(view, fd), fd, stderr=subprocess.PIPE)
        except OSError as error:
            ours.close()
            raise ContainerFailed(str(error)) from error
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(ours, self._listen)
        with suppress(ContainerFailed):  # why it has ended is said below
            await self._hold()
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise ContainerFailed(f"its agent did not answer within {READY_TIMEOUT_S:g} s") from None

    async def _hold(self) -> None:
        """Has its agent enter the limits before it runs anything, while it begins; what they are is set later.

        What the agent needs itself is not counted: it is there before.
        """
        self._limits = Limits(self.id, memory_bytes=NO_MEMORY_LIMIT, pids=self.pids, cpus=_NO_CPU_LIMIT)
        with self._limits.doors() as doors:
            await self._send({"enter": True}, doors)

    def limit(self, resources: Resources) -> None:
        """Holds it, and all that it will run, to its resources."""
        self._memory_bytes = 0 if limits.kind().startswith("cgroup") else resources.memory_bytes
        if self._limits is not None:
            self._limits.change(
                memory_bytes=resources.memory_bytes or NO_MEMORY_LIMIT, cpus=resources.cpus or _NO_CPU_LIMIT
            )

    def _listen(self) -> None:
        """Takes what its agent says; at the end of that, or of all sense, the container is lost."""
        try:
            if piece := self._socket.recv(1 << 16):
                self._said = self._hear(self._said + piece)
                return
        except BlockingIOError:
            return
        except (OSError, ValueError, LookupError, TypeError, RecursionError, asyncio.InvalidStateError):
            pass  # it is gone, or says what no agent says: a job has got hold of it
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._losing = loop.create_task(self._lost())

    def _hear(self, data: bytes) -> bytes:
        """Takes the whole messages at the beginning; what is left of one that has not come whole."""
        while len(data) >= 8:
            size = int.from_bytes(data[:8], "big")
            if size > _MOST_SAID:
                raise ValueError(size)
            if len(data) < 8 + size:
                break
            self._heard(json.loads(data[8 : 8 + size]))
            data = data[8 + size :]
        return data

    def _heard(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(None)
            return
        run = self._runs.get(message["id"])
        if run is None:
            return
        if "errno" in message:
            run.started.set_exception(OSError(message["errno"], os.strerror(message["errno"])))
        elif "started" in message:
            run.started.set_result(None)
        elif not run.exit.done():
            run.exit.set_result(message["exit"])

    async def _lost(self) -> None:
        said = ""
        if self._process is not None and self._process.stderr is not None:
            kill_group(self._process)  # what is left of the sandbox; it is of no use without its agent
            await asyncio.to_thread(self._process.wait)
            said = self._process.stderr.read(2_000).decode(errors="replace").strip()
        error = ContainerFailed(f"its container ended{f': {said}' if said else ''}")
        for future in (self._ready, *(future for run in self._runs.values() for future in (run.started, run.exit))):
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits gets it; nobody may be waiting

    @property
    def alive(self) -> bool:
        """Whether its agent runs."""
        return self._process is not None and self._process.poll() is None

    async def run(self, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: str, files: Sequence[int]) -> Run:
        """Starts a command with stdout and stderr in `files`; without `argv` a function, its payload and result too.

        Raises OSError when it can't be executed, `ContainerFailed` when the container is gone.
        """
        loop = asyncio.get_running_loop()
        run = self._runs[name] = Run(loop.create_future(), loop.create_future())
        run.exit.add_done_callback(lambda future: future.cancelled() or future.exception())
        message = {"run": name, "argv": list(argv), "env": dict(env), "cwd": cwd, "ahead": True}
        try:
            await self._send(message | {"memory_bytes": self._memory_bytes}, files)
            await asyncio.shield(run.started)
        except (OSError, ContainerFailed):
            self.forget(name)
            raise
        return run

    async def signal(self, name: str, signum: int) -> None:
        """Signals a run and all that it started; nothing when it has ended."""
        run = self._runs.get(name)
        if run is not None and not run.exit.done():
            await self._send({"signal": signum, "id": name})

    async def _send(self, message: dict[str, Any], files: Sequence[int] = ()) -> None:
        body = json.dumps(message).encode()
        data = len(body).to_bytes(8, "big") + body
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        async with self._sending:
            try:
                while not (sent := self._sent(data, ancillary)):
                    await asyncio.sleep(_PAUSE_S)
                if sent < len(data):
                    await asyncio.get_running_loop().sock_sendall(self._socket, data[sent:])
            except OSError as error:
                raise ContainerFailed(f"its container does not answer: {error}") from error

    def _sent(self, data: bytes, ancillary: list[tuple[int, int, array.array[int]]]) -> int:
        """How much of it there was room for in the socket."""
        try:
            return self._socket.sendmsg([data], ancillary)
        except BlockingIOError:
            return 0

    def forget(self, name: str) -> None:
        """The end of a run has been taken note of."""
        self._runs.pop(name, None)

    @property
    def oom(self) -> bool:
        """Whether something in it was ended for want of memory since this was last asked."""
        seen, self._oom_seen = self._oom_seen, self._limits.oom_kills if self._limits else 0
        return self._oom_seen > seen

    async def end(self) -> None:
        """Ends it with all that runs in it; returns when it is gone."""
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            if self._losing is not None:
                self._losing.cancel()
            self._socket.close()
            if self._limits is not None:
                self._limits.close(kill=True)
            kill_group(self._process)
            await asyncio.to_thread(self._process.wait)
            if self._process.stderr is not None:
                self._process.stderr.close()
        await self._unlimit()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _unlimit(self) -> None:
        """Removes its limits once the last of its processes is gone; the next host does it where that takes long."""
        for _ in range(_DYING_LOOKS):
            if self._limits is None or self._limits.close(kill=True):
                return
            await asyncio.sleep(_PAUSE_S)


def end_left(root: Path) -> None:
    """Ends what an earlier host's containers may have left: processes, limits, folders."""
    for folder in (root / "containers").glob("c-*"):
        Limits(folder.name, memory_bytes=NO_MEMORY_LIMIT, pids=1, cpus=_NO_CPU_LIMIT).end()
    shutil.rmtree(root / "containers", ignore_errors=True)
