"""The host: a program that is the pool, serving requests on a Unix socket.

`python -m executors.local_serverless.host DIR`. A session of its own; it outlives the broker, and its containers do
not outlive it.
"""

from __future__ import annotations

import asyncio
import fcntl
import pickle
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from executors.local_serverless.fleet import Bounds
from executors.local_serverless.pool import ServerlessPool
from executors.on_machine.frames import read_frame, write_frame


class Host:
    """The server."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        shutil.rmtree(root / "containers", ignore_errors=True)
        self._pool = ServerlessPool(root, bounds)
        self._socket = root / "host.sock"
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Serves until asked to stop."""
        self._socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._socket))
        self._socket.chmod(0o600)  # nobody can connect before it listens
        server = await asyncio.start_unix_server(self._client, sock=listener)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        await self._over.wait()
        await self._pool.stop()  # a repeat where stopping was asked for, and harmless
        server.close()
        self._socket.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering: set[asyncio.Task[None]] = set()
        while (request := await read_frame(reader)) is not None:
            task = asyncio.create_task(self._answer(writer, *request))
            answering.add(task)
            task.add_done_callback(answering.discard)

    async def _answer(self, writer: asyncio.StreamWriter, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            value = await getattr(self._pool, method)(*arguments)
            await write_frame(writer, (number, None, value))
            if method == "stop":
                self._over.set()
        except ConnectionError:
            return
        except Exception as error:
            await write_frame(writer, (number, f"{type(error).__name__}: {error}", None))


async def main(root: Path) -> None:
    """Runs the host of one pool; a second one on the same folder ends at once."""
    with (root / "host.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        bounds: Bounds = pickle.loads((root / "bounds").read_bytes())
        await Host(root, bounds).serve()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
