"""Processes that answer at one door, watched by the process of the broker: one that dies is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from broker.api.door import Door
from broker.api.server import GRACE_S

log = structlog.get_logger()

WORKER_MODULE = "broker.api.worker"
AGAIN_S = 1.0
END_WITHIN_S = 10.0


class Workers:
    """The API workers of one broker."""

    def __init__(self, door: Door, sock: socket.socket, config: Path | None) -> None:
        self._door = door
        self._sock = sock
        self._config = config
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ending = False
        # While this end is open, the broker lives: workers hear of its end, however it came.
        self._heard, self._alive = os.pipe()

    async def run(self) -> None:
        """Keeps as many as there are to be, until they are told to end."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._door.workers):
                tasks.create_task(self._keep(number))

    async def _keep(self, number: int) -> None:
        while not self._ending:
            self._processes[number] = process = await self._start()
            code = await process.wait()
            if not self._ending:
                log.error("an API worker ended; another one is started", number=number, exit_code=code)
                await asyncio.sleep(AGAIN_S)

    async def _start(self) -> asyncio.subprocess.Process:
        fds = (self._sock.fileno(), self._heard)
        command = ["-m", WORKER_MODULE, "--socket-fd", str(fds[0]), "--broker-fd", str(fds[1])]
        command += ["--drain", f"{self._door.drain_s:g}"]
        if self._config is not None:
            command += ["--config", str(self._config)]
        if self._door.certificate is not None:
            command += ["--tls-cert", str(self._door.certificate.file), "--tls-key", str(self._door.certificate.key)]
        if self._door.behind_proxy:
            command.append("--behind-proxy")
        return await asyncio.create_subprocess_exec(sys.executable, *command, pass_fds=fds)

    def end(self) -> None:
        """Asks for the end of all."""
        self._ending = True
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    async def gone(self) -> None:
        """Returns when all are gone; those that take too long are killed."""
        self.end()
        for process in self._processes.values():
            try:
                async with asyncio.timeout(self._door.drain_s + GRACE_S + END_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
        os.close(self._alive)
        os.close(self._heard)
