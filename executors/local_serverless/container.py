"""A container: a sandboxed agent, the limits around it, and the commands it runs for its host."""

from __future__ import annotations

import array
import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.model.resources import Resources
from executors.local_serverless import sandbox
from executors.on_machine.limits import Limits

READY_TIMEOUT_S = 20.0


class ContainerFailed(Exception):
    """A container did not start, or ended under its command."""


@dataclass
class Run:
    """One command in a container."""

    started: asyncio.Future[int]  # when it began, ns; or errno as an OSError
    exit: asyncio.Future[int]  # exit code, or minus a signal


@dataclass
class Container:
    """One container; `start` it before use, `end` it after."""

    root: Path  # state folder of the pool
    environment: str  # key of what it has been prepared for
    resources: Resources
    kind: str  # of isolation
    pids: int
    id: str = field(default_factory=lambda: f"c-{secrets.token_hex(6)}")
    started_ns: int = 0
    ready_ns: int | None = None
    ended_ns: int | None = None
    caused_by: str | None = None
    busy: set[str] = field(default_factory=set)  # attempts
    idle_since: float = 0.0

    @property
    def folder(self) -> Path:
        """Its own writable folder: working copies live here."""
        return self.root / "containers" / self.id

    async def start(self, readable: list[Path], writable: list[Path]) -> None:
        """Starts the agent. Raises `ContainerFailed`."""
        self.started_ns = time.time_ns()
        self.folder.mkdir(parents=True, mode=0o700)
        self._limits = Limits(
            self.id, memory_bytes=self.resources.memory_bytes, pids=self.pids, cpus=self.resources.cpus
        )
        self._oom_seen = 0
        self._runs: dict[str, Run] = {}
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            sandbox.agent_argv(self.kind, theirs.fileno(), [self.folder, *writable], readable),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env={"PATH": os.defpath},
            start_new_session=True,
            preexec_fn=lambda: self._limits.take(os.getpid()),
        )
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._sending = asyncio.Lock()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise ContainerFailed(f"its agent did not answer within {READY_TIMEOUT_S:g} s") from None
        self.ready_ns = time.time_ns()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        data = b""
        while piece := await _received(loop, self._socket):
            data += piece
            while len(data) >= 8 and len(data) >= 8 + int.from_bytes(data[:8], "big"):
                size = int.from_bytes(data[:8], "big")
                self._heard(json.loads(data[8 : 8 + size]))
                data = data[8 + size :]
        self._lost()

    def _heard(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(None)
            return
        run = self._runs[message["id"]]
        if "errno" in message:
            run.started.set_exception(OSError(message["errno"], os.strerror(message["errno"])))
        elif "started" in message:
            run.started.set_result(time.time_ns())
        elif not run.exit.done():
            run.exit.set_result(message["exit"])

    def _lost(self) -> None:
        said = ""
        if self._process.stderr is not None and self._process.poll() is not None:
            said = self._process.stderr.read(2_000).decode(errors="replace").strip()
        error = ContainerFailed(f"its container ended{f': {said}' if said else ''}")
        waiting: list[asyncio.Future[Any]] = [self._ready]
        for run in self._runs.values():
            waiting += [run.started, run.exit]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waits gets it; nobody may be waiting

    @property
    def alive(self) -> bool:
        """Whether its agent runs."""
        return self._process.poll() is None

    async def run(self, name: str, argv: list[str], env: Mapping[str, str], cwd: Path, out: int, err: int) -> Run:
        """Starts a command with its output into open files. Raises OSError when it can't be executed."""
        loop = asyncio.get_running_loop()
        run = self._runs[name] = Run(loop.create_future(), loop.create_future())
        run.exit.add_done_callback(lambda future: future.cancelled() or future.exception())
        message = json.dumps({"run": name, "argv": argv, "env": dict(env), "cwd": str(cwd)}).encode()
        await self._send(message, (out, err))
        try:
            await asyncio.shield(run.started)
        except (OSError, ContainerFailed):
            del self._runs[name]
            raise
        return run

    async def signal(self, name: str, signum: int) -> None:
        """Signals a command and all that it started; nothing when it has ended."""
        run = self._runs.get(name)
        if run is not None and not run.exit.done():
            await self._send(json.dumps({"signal": signum, "id": name}).encode(), ())

    async def _send(self, message: bytes, files: tuple[int, ...]) -> None:
        loop = asyncio.get_running_loop()
        head = len(message).to_bytes(8, "big")
        async with self._sending:
            try:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
                self._socket.sendmsg([head], ancillary)
                await loop.sock_sendall(self._socket, message)
            except OSError as error:
                raise ContainerFailed(f"its container does not answer: {error}") from error

    def forget(self, name: str) -> None:
        """A command's end has been taken note of."""
        self._runs.pop(name, None)

    @property
    def oom(self) -> bool:
        """Whether something in it was ended for want of memory since this was last asked."""
        seen, self._oom_seen = self._oom_seen, self._limits.oom_kills
        return self._oom_seen > seen

    async def end(self) -> None:
        """Ends it with all that runs in it; returns when it is gone."""
        self._socket.close()
        self._limits.close(kill=self.kind != "process")
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        self._listening.cancel()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._limits.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        self.ended_ns = time.time_ns()


async def _received(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    try:
        return await loop.sock_recv(sock, 1 << 16)
    except OSError:
        return b""
