"""A real daemon in a process of its own, with one serverless pool, and what these tests do to it."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.model.errors import DaemonError
from broker.run.lifecycle import DaemonFile, is_running
from broker.sdk.client import Client
from broker.sdk.connect import connect
from broker.testing.executor_watch import PATIENCE_S, processes_with

BROKER = str(Path(sys.executable).with_name("broker"))
WAIT_S = PATIENCE_S
CONFIG = """
settle_every = "200ms"
{top}
[pools.burst]
executor = "local_serverless"
kind = "serverless"
cpus = 1
memory = "512MiB"
accelerators = {{ L4 = 1 }}
emulated = true
max_containers = {containers}
scaledown_window = "2s"
price = {{ provider = "modal", product = "functions" }}
"""


@dataclass
class Daemon:
    """A state folder, its configuration, and the daemon on it."""

    state_dir: Path
    containers: int = 4
    top: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        path = self.state_dir / "config.toml"
        path.write_text(CONFIG.format(top=self.top, containers=self.containers))
        return path

    def up(self) -> None:
        """Starts it as a person would. Raises `DaemonError` with what was said."""
        said = self.call("up")
        if said.returncode:
            raise DaemonError(said.stderr)

    @property
    def pid(self) -> int:
        said = DaemonFile.read(self.state_dir)
        assert said is not None
        return said.pid

    @property
    def client(self) -> Client:
        return connect(self.state_dir, user="ann")

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short; returns when it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not is_running(self.state_dir), "the daemon is gone")

    def down(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.call("down", *options)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the command as a person would."""
        environment = {**os.environ, **self.environment, "COLUMNS": "1000"}
        environment |= {"BROKER_STATE_DIR": str(self.state_dir), "BROKER_CONFIG": str(self.config)}
        return subprocess.run(
            [BROKER, *words], capture_output=True, text=True, errors="replace", env=environment, check=False
        )

    def submit(self, run: str | None = None, **more: Any) -> str:
        document = {"run": run, **more} if run is not None else more
        job: str = self.client.submit({"resources": {"cpus": 0.5, "memory": "64MiB"}, **document})["id"]
        return job

    def ended(self, job: str, limit_s: float = WAIT_S) -> dict[str, Any]:
        """The job once it has ended."""
        view: dict[str, Any] = self.client.wait(job, limit_s)
        assert view["ended"], view
        return view

    def state(self, job: str) -> str:
        return str(self.client.job(job)["state"])

    def output(self, job: str) -> bytes:
        return b"".join(self.client.output(job))


class Gate:
    """What a job waits at, so that it goes on when a test says so, however busy the machine is."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._seconds = f"9{os.getpid():08}.{next(self._numbers)}"  # of no other process of these tests
        self.wait = f"sleep {self._seconds} || true"

    def open(self, waiting: int = 1) -> None:
        """Once so many wait. Where jobs see no file of ours, a process of theirs can still be ended."""
        until(lambda: len(processes_with(self._seconds)) >= waiting, "it waits at the gate")
        for pid in processes_with(self._seconds):
            os.kill(pid, signal.SIGKILL)


def until(true: Callable[[], Any], what: str, limit_s: float = WAIT_S) -> None:
    """Returns once it is true."""
    limit = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < limit, f"not so within {limit_s:g} s: {what}"
        time.sleep(0.02)


@contextmanager
def daemon(**settings: Any) -> Iterator[Daemon]:
    """A daemon's folder, short enough for sockets; whatever still runs at the end is ended through the daemon."""
    folder = Path(tempfile.mkdtemp(prefix="bd-"))
    here = Daemon(folder, **settings)
    try:
        yield here
    finally:
        here.down("--now")
        shutil.rmtree(folder)
