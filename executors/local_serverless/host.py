"""The host: a program that is the pool, serving requests on a Unix socket.

`python -m executors.local_serverless.host DIR`. A session of its own; it outlives the broker, and its containers do
not outlive it.
"""

from __future__ import annotations

import asyncio
import fcntl
import pickle
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from executors.local_serverless.container import end_left
from executors.local_serverless.fleet import Bounds
from executors.local_serverless.pool import ServerlessPool
from executors.on_machine.frames import UNASKED, frame, read_frame, write_frame

LOOK_S: Final = 5.0


class Host:
    """The server."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        end_left(root)
        self._clients: set[asyncio.StreamWriter] = set()
        self._behind: set[asyncio.StreamWriter] = set()  # those that have not been told what room there is now
        self._pool = ServerlessPool(root, bounds, self._changed)
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
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._over.wait()
            if not self._socket.exists():
                break  # its folder was removed: nobody can reach it, nobody would end it
        await self._pool.stop()  # a repeat where stopping was asked for, and harmless
        server.close()
        self._socket.unlink(missing_ok=True)

    def _changed(self) -> None:
        """Lets all clients know what room there is, in a moment, or before anything else that they are told."""
        if not self._behind and self._clients:
            asyncio.get_running_loop().call_soon(self._tell)
        self._behind |= self._clients

    def _tell(self) -> None:
        if self._behind:
            told = frame((UNASKED, None, self._pool.room))
            while self._behind:
                self._behind.pop().write(told)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering: set[asyncio.Task[None]] = set()
        self._clients.add(writer)
        self._changed()
        while (request := await read_frame(reader)) is not None:
            task = asyncio.create_task(self._answer(writer, *request))
            answering.add(task)
            task.add_done_callback(answering.discard)
        self._clients.discard(writer)
        self._behind.discard(writer)

    async def _answer(self, writer: asyncio.StreamWriter, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            value = await getattr(self._pool, method)(*arguments)
            self._tell()
            await write_frame(writer, (number, None, value))
            if method == "stop":
                self._over.set()
        except ConnectionError:
            return
        except Exception as error:
            await write_frame(writer, (number, f"{type(error).__name__}: {error}", None))


async def main(root: Path) -> None:
    """Runs the host of one pool; where one runs already, there is nothing to do."""
    with (root / "host.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        bounds: Bounds = pickle.loads((root / "bounds").read_bytes())
        await Host(root, bounds).serve()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
