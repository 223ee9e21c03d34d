"""A person at the command line, with a broker of their own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.run.lifecycle import DaemonFile

PATIENCE_S = 240  # for one command: a Ray cluster starts slowly on a machine that does other work as well
BROKER = str(Path(sys.executable).with_name("broker"))


class Shell:
    """Commands in one folder, under one configuration."""

    def __init__(self, folder: Path, config: str, env: Mapping[str, str]) -> None:
        self._folder = folder
        (folder / "broker.toml").write_text('settle_every = "200ms"\n' + config, encoding="utf-8")
        self.env = {
            **os.environ,
            "BROKER_CONFIG": str(folder / "broker.toml"),
            "BROKER_STATE_DIR": str(folder / "state"),
            "HOME": str(folder),
            **env,
        }

    async def call(self, *words: str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [BROKER, *words],
            cwd=self._folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"broker {' '.join(words)}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    async def json(self, *words: str) -> Any:
        return json.loads(await self.call(*words, "--json"))

    def kill(self) -> None:
        """SIGKILL to the daemon, as the kernel does when memory is short."""
        said = DaemonFile.read(self._folder / "state")
        assert said is not None
        os.kill(said.pid, signal.SIGKILL)


@asynccontextmanager
async def broker_up(config: str, env: Mapping[str, str]) -> AsyncIterator[Shell]:
    """A person whose broker is up, in a folder with a short path; all is ended afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bs-"))
    person = Shell(folder, config, env)
    try:
        await person.call("up")
        yield person
    finally:
        await person.call("down", "--now")
    shutil.rmtree(folder)
