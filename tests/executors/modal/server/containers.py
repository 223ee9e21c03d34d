"""Containers: processes of this machine, with what they were given and nothing else."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from executors.on_machine.processes import descendants, marked
from tests.executors.processes import SYSTEM_PATH, Written, send


class Container:
    """One process tree. Paths of its mounts are translated in its arguments: it has no root of its own."""

    def __init__(self, folder: Path, name: str, argv: list[str], env: dict[str, str], workdir: str = "") -> None:
        self.name, self.folder = name, folder
        self._argv, self._workdir = argv, workdir
        home = folder / "home"
        home.mkdir(parents=True)
        base = {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}", "HOME": str(home), "TMPDIR": str(home)}
        self._env = {**base, "LANG": "C.UTF-8", "MODAL_TASK_ID": name, "MODAL_IS_REMOTE": "1", **env}
        self.streams = {"stdout": Written(), "stderr": Written()}
        self._process: asyncio.subprocess.Process | None = None
        self._stdin = b""
        self.code: int | None = None  # as a shell tells it
        self.ended = asyncio.Event()

    def mount(self, path: str, content: bytes, mode: int) -> None:
        place = self.folder / "root" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(mode & 0o777)
        self._argv = [word.replace(path, str(place)) for word in self._argv]

    async def run(self) -> None:
        """Runs it to its end."""
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                env=self._env,
                cwd=self.folder / "home",
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                limit=1 << 20,
            )
        except OSError as error:
            await self.streams["stderr"].add(f"{self._argv[0]}: {error.strerror}\n".encode())
            await self._over(127)
            return
        self.write(b"")
        out, err = self._process.stdout, self._process.stderr
        assert out and err
        await asyncio.gather(self._copy("stdout", out), self._copy("stderr", err), self._wait())
        await self._over(self._process.returncode or 0)

    async def _wait(self) -> None:
        assert self._process
        pid = self._process.pid
        await self._process.wait()
        send(descendants(pid) + marked("MODAL_TASK_ID", self.name), signal.SIGKILL)

    async def _copy(self, name: str, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            await self.streams[name].add(data)

    async def _over(self, code: int) -> None:
        self.code = 128 - code if code < 0 else code
        for stream in self.streams.values():
            await stream.add(b"", closed=True)
        self.ended.set()

    def write(self, data: bytes) -> None:
        """To its stdin, once it runs."""
        self._stdin += data
        if self._process and self._process.stdin:
            self._process.stdin.write(self._stdin)
            self._stdin = b""

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def kill(self) -> None:
        """Ends it and all below it, and waits for that."""
        if self._process is None:
            await self._over(-signal.SIGKILL)
            return
        below = descendants(self._process.pid)
        send([self._process.pid, *below], signal.SIGKILL)
        await self.ended.wait()
