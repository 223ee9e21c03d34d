"""Tasks: containers of functions, each a process that runs Modal's own entry point and asks this server for inputs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from executors.on_machine.processes import descendants, marked
from tests.executors.processes import SYSTEM_PATH

Line = Callable[[str, str], None]  # of which stream, and what


class Zygote:
    """The process that containers are forked from, as one server uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._born: list[asyncio.Future[int]] = []
        self._dead: dict[int, asyncio.Future[int]] = {}
        self._connecting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def fork(self, order: dict[str, Any]) -> int:
        """The pid of a new container."""
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                self._reading = asyncio.create_task(self._read(reader))
        born: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._born.append(born)
        self._writer.write(json.dumps(order).encode() + b"\n")
        return await born

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            said = json.loads(line)
            if isinstance(said, int):
                self._dead[said] = asyncio.get_running_loop().create_future()
                self._born.pop(0).set_result(said)
            else:
                self._dead[said[0]].set_result(said[1])

    async def ended(self, pid: int) -> int:
        """Waits for the end of one."""
        return await self._dead[pid]

    async def stop(self) -> None:
        """Lets it go."""
        if self._writer and self._reading:
            self._writer.close()
            await self._writer.wait_closed()
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


@contextmanager
def zygote(folder: Path) -> Iterator[Path]:
    """Starts one; the socket at which it is found."""
    path = folder / "zygote.sock"
    command = [sys.executable, "-m", "tests.executors.modal.server.zygote", str(path)]
    env = {**os.environ, "MODAL_CONFIG_PATH": "/nonexistent"}
    process = subprocess.Popen(command, env=env, cwd=Path(__file__).parents[4])
    try:
        while not path.exists() and process.poll() is None:
            time.sleep(0.02)
        yield path
    finally:
        process.kill()
        process.wait()


class Task:
    """One container of a function."""

    def __init__(self, task_id: str, folder: Path, zygote: Zygote, told: Line) -> None:
        self.id, self._folder, self._zygote, self._told = task_id, folder, zygote, told
        self.pid = 0
        self.heard = asyncio.Event()  # something was written since it was cleared
        self.ended = asyncio.Event()

    async def run(self, arguments: bytes, env: dict[str, str]) -> None:
        """Runs it to its end."""
        self._folder.mkdir(parents=True)
        (self._folder / "arguments").write_bytes(arguments)
        base = {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}", "HOME": str(self._folder), "LANG": "C.UTF-8"}
        own = {
            "MODAL_TASK_ID": self.id,
            "MODAL_IS_REMOTE": "1",
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(self._folder / "arguments"),
            "TMPDIR": str(self._folder),
            "MODAL_LOGLEVEL": "WARNING",
        }
        for name in ("out", "err"):
            os.mkfifo(self._folder / name)
        reads = [self._copied("out", "stdout"), self._copied("err", "stderr")]
        paths = {name: str(self._folder / name) for name in ("out", "err")}
        order = {"env": {**base, **env, **own}, "cwd": str(self._folder), **paths}
        reading = [asyncio.create_task(one) for one in reads]
        self.pid = await self._zygote.fork(order)
        await self._zygote.ended(self.pid)
        self._kill(marked("MODAL_TASK_ID", self.id))
        await asyncio.gather(*reading)
        self.ended.set()

    async def _copied(self, path: str, name: str) -> None:
        fd = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK)
        holding = os.open(self._folder / path, os.O_WRONLY)  # until the child has opened it
        reader = asyncio.StreamReader(limit=1 << 24)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb"))
        closing = asyncio.create_task(self._let_go(holding))
        while line := await reader.readline():
            self.heard.set()
            self._told(name, line.decode())
        transport.close()
        await closing

    async def _let_go(self, holding: int) -> None:
        while not self.pid:
            await asyncio.sleep(0.01)
        await self._zygote.ended(self.pid)
        os.close(holding)

    async def quiet(self) -> None:
        """Waits until it has said what it wrote."""
        while True:
            self.heard.clear()
            try:
                async with asyncio.timeout(0.01):
                    await self.heard.wait()
            except TimeoutError:
                return

    async def kill(self) -> None:
        """Ends it and all below it, and waits for that."""
        while not self.pid:
            await asyncio.sleep(0.01)
        self._kill([self.pid, *descendants(self.pid)])
        await self.ended.wait()

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
