"""The link: calls from the broker's process → the gateway process, started when needed, and their answers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from broker.model.errors import Unreachable
from executors.on_machine.frames import read_frame, write_frame

ATTACH_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 30.0


class Link:
    """One gateway process."""

    def __init__(self, pool: str, log: Path) -> None:
        self._pool = pool
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def alive(self) -> bool:
        """Whether the gateway is there."""
        return self._process is not None and self._process.returncode is None and self._writer is not None

    @property
    def pid(self) -> int | None:
        """The gateway's process."""
        return self._process.pid if self._process else None

    async def connect(self, hello: dict[str, Any], environment: Mapping[str, str]) -> None:
        """Starts the gateway and attaches it. Raises `Unreachable` with what Ray said."""
        ours, theirs = socket.socketpair()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "executors.ray_cluster.gateway",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **environment},
                start_new_session=True,
            )
        theirs.close()
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        await write_frame(self._writer, hello)
        try:
            async with asyncio.timeout(ATTACH_TIMEOUT_S):
                said = await read_frame(reader)
        except TimeoutError:
            said = (0, f"no answer within {ATTACH_TIMEOUT_S:g} s", None)
        if said is None or said[1] is not None:
            await self.close()
            raise Unreachable(f"pool {self._pool}: can't attach to Ray at {hello['address']}: {said and said[1]}")
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (frame := await read_frame(reader)) is not None:
            number, problem, value = frame
            future = self._waiting.pop(number, None)
            if future is None or future.done():
                continue
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(Unreachable(f"pool {self._pool}: Ray did not answer: {problem.splitlines()[0]}"))
        self._writer = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable(f"pool {self._pool}: the Ray gateway ended; it is started again"))
        self._waiting.clear()

    async def call(self, method: str, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Calls a method of the supervisor. Raises `Unreachable`."""
        if not self.alive or self._writer is None:
            raise Unreachable(f"pool {self._pool}: not attached to Ray")
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        try:
            async with asyncio.timeout(timeout_s):
                await write_frame(self._writer, (self._number, method, arguments))
                return await future
        except (TimeoutError, ConnectionError) as error:
            raise Unreachable(f"pool {self._pool}: Ray did not answer {method} within {timeout_s:g} s") from error

    async def close(self) -> None:
        """Ends the gateway; what runs on the cluster goes on."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()
        self._process = self._writer = self._reading = None
