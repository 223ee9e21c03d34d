"""The gateway from outside: a process that is attached to Ray, started when needed, and the link to it."""

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

from broker.model.errors import Misconfigured, Unreachable
from executors.on_machine.frames import read_frame, write_frame
from executors.on_machine.link import Link
from executors.ray_cluster.options import CLIENT

ATTACH_TIMEOUT_S = 60.0
# Now and then a client of Ray's is never answered, and the next one is: Ray starts a server for each, on a port that it
# only knows to have been free a moment before.
CLIENT_TRIES_S = (20.0, 40.0)
LISTENS_TIMEOUT_S = 5.0
_REFUSED = b"Unauthenticated"  # what Ray writes to its log again and again; its error does not say


async def answers(pool: str, address: str) -> None:
    """Raises `Unreachable` where nothing listens; the driver itself would try for a minute."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    try:
        async with asyncio.timeout(LISTENS_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"pool {pool}: can't attach to Ray at {address}: {str(error) or 'no answer'}") from None
    writer.close()


class GatewayLink(Link):
    """The link to one gateway process, which it starts and ends."""

    def __init__(self, pool: str, log: Path) -> None:
        super().__init__(f"pool {pool}: the Ray gateway")
        self._pool = pool
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the gateway."""
        return self._process.pid if self._process else None

    async def connect(self, hello: dict[str, Any], environment: Mapping[str, str]) -> None:
        """Starts the gateway and attaches it. Raises `Unreachable` with what Ray said, or `Misconfigured`."""
        begins = self._log.stat().st_size if self._log.exists() else 0
        said: Any = None
        for within_s in CLIENT_TRIES_S if hello["address"].startswith(CLIENT) else (ATTACH_TIMEOUT_S,):
            reader, writer = await self._started(hello, environment)
            try:
                async with asyncio.timeout(within_s):
                    said = await read_frame(reader)
                break
            except TimeoutError:
                said = (0, f"no answer within {within_s:g} s; see {self._log}", None)
                writer.close()
        if said is None or said[1] is not None:
            writer.close()
            await self.close()
            raise self._refusal(hello["address"], said, self._log.read_bytes()[begins:])
        self.attach(reader, writer)

    async def _started(
        self, hello: dict[str, Any], environment: Mapping[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new gateway, told what to attach to."""
        await self.close()
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
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        await write_frame(writer, hello)
        return reader, writer

    def _refusal(self, address: str, said: Any, logged: bytes) -> Misconfigured | Unreachable:
        """Why it is not attached, by what the gateway said, if anything, and Ray wrote to its log."""
        if _REFUSED in logged:
            return Misconfigured(
                f"pool {self._pool}: Ray at {address} refuses our token, or there is none: "
                "say where it is with the option token_file or token_env"
            )
        why = _first_and_last(said[1]) if said else f"it ended; see {self._log}"
        return Unreachable(f"pool {self._pool}: can't attach to Ray at {address}: {why}")

    async def close(self) -> None:
        """Ends the gateway; what runs on the cluster goes on."""
        await super().close()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        self._process = None


def _first_and_last(text: str) -> str:
    """What an error with a traceback says: what failed, and why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(dict.fromkeys([lines[0], lines[-1]]) if lines else ["no reason was given"])
