"""Entrypoints of Ray jobs as processes of this machine, and logs for readers that may come late."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from executors.on_machine.processes import descendants, marked
from tests.executors.processes import SYSTEM_PATH, Written, send


class Run:
    """One Ray job: its driver, run by a shell in a working directory of its own, with one log."""

    def __init__(self, job: str, folder: Path, entrypoint: str, address: str, more: dict[str, str]) -> None:
        self.job, self.address, self.log = job, address, Written()
        self._folder, self._entrypoint = folder, entrypoint
        home = folder / "home"
        home.mkdir(parents=True)
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "RAY_ADDRESS": f"{address}:6379",
            "RAY_JOB_TEST": job,
            **more,
        }
        self._process: asyncio.subprocess.Process | None = None
        self.code: int | None = None
        self.stopped = False
        self.lost = False  # its node died

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def run(self) -> None:
        """Runs it to its end."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_shell(
            self._entrypoint, env=self._env, cwd=self._folder / "work", stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        out = self._process.stdout
        assert out
        while data := await out.read(1 << 16):
            await self.log.add(data)
        self.code = await self._process.wait()

    async def stop(self, wait_s: float) -> None:
        """As Ray does it: SIGTERM to the driver and all below it, SIGKILL to those that are left after a while."""
        self.stopped = True
        if self._process is None or self.code is not None:
            return
        there = [self.pid, *descendants(self.pid)]
        send(there, signal.SIGTERM)
        until = asyncio.get_running_loop().time() + wait_s
        while any(Path(f"/proc/{pid}").exists() for pid in there) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
        send([*there, *descendants(self.pid)], signal.SIGKILL)

    def kill(self) -> None:
        """Its node is gone."""
        self.lost = True
        if self._process is not None and self.code is None:
            send([self.pid, *descendants(self.pid), *marked("RAY_JOB_TEST", self.job)], signal.SIGKILL)

    def end_all(self) -> None:
        """Nothing of it is left when a container ends."""
        send(marked("RAY_JOB_TEST", self.job), signal.SIGKILL)
