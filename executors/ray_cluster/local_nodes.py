"""Local nodes: a Ray head, and more nodes, as process trees of this machine; started, found again, and ended exactly.

Each node is a session of its own; the session's leader is remembered with its start time, so that only our processes
are ever ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.model.errors import Unreachable
from broker.model.pools import Pool
from executors.on_machine.processes import bury, send, session_members, start_detached, start_time
from executors.ray_cluster.node_book import LABEL
from executors.ray_cluster.ports import free_ports

START_TIMEOUT_S = 90.0
START = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
_BEGUN = "begun"  # file of the names of nodes that are starting
NODE_IP = "127.0.0.2"  # loopback that Ray keeps: 127.0.0.1 it replaces by the machine's outward address
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_FIXED_PORTS = ("dashboard-agent-listen-port", "metrics-export-port")


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A Ray node of this machine, started by the pool."""

    pid: int  # leader of its session
    ticks: int  # when that process started, in clock ticks since boot
    started_ns: int
    name: str  # of its log, and its label in Ray
    devices: tuple[int, ...] = ()  # GPUs of this machine that it holds, by number

    @property
    def alive(self) -> bool:
        """Whether its first process is there."""
        return start_time(self.pid) == self.ticks

    def end(self) -> None:
        """Ends all processes of its session and waits until they are gone.

        The number of a session is not given to another while one of its processes is left, its leader or not.
        """
        if start_time(self.pid) not in (self.ticks, None):
            return
        send(session_members(self.pid), signal.SIGTERM)
        limit = time.monotonic() + 10.0
        while (left := session_members(self.pid)) and time.monotonic() < limit:
            send(left, signal.SIGKILL if time.monotonic() > limit - 9.0 else signal.SIGTERM)
            bury(self.pid)
            time.sleep(0.05)
        bury(self.pid)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """What is needed to find a cluster of ours again."""

    port: int
    dashboard_port: int
    token: str
    nodes: tuple[LocalNode, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a process part of it."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        }

    @property
    def alive(self) -> bool:
        """Whether its head still runs."""
        return self.nodes[0].alive

    def end(self) -> None:
        """Ends its nodes, the head last."""
        for node in reversed(self.nodes):
            node.end()

    @property
    def address(self) -> str:
        """The address to which a driver attaches."""
        return f"{NODE_IP}:{self.port}"

    @property
    def dashboard(self) -> str:
        """The address of the dashboard, which serves the Jobs API."""
        return f"http://127.0.0.1:{self.dashboard_port}"


def load(state_dir: Path) -> LocalCluster | None:
    """The cluster of this folder, running or not; None when there was none."""
    try:
        data = json.loads((state_dir / "cluster.json").read_text())
    except FileNotFoundError:
        return None
    nodes = tuple(LocalNode(**{**node, "devices": tuple(node.get("devices", ()))}) for node in data["nodes"])
    return LocalCluster(**{**data, "nodes": nodes})


def save(state_dir: Path, cluster: LocalCluster) -> None:
    """Remembers it with all nodes that have started, readable by its owner only: it holds the cluster's token."""
    draft = state_dir / "cluster.draft"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(asdict(cluster)))
    draft.replace(state_dir / "cluster.json")
    (state_dir / _BEGUN).unlink(missing_ok=True)


async def start_head(pool: Pool, state_dir: Path, object_store_bytes: int) -> LocalCluster:
    """Starts a head node. Raises `Unreachable` with what Ray said."""
    port, dashboard_port, client_port = free_ports(3)
    cluster = LocalCluster(port=port, dashboard_port=dashboard_port, token=secrets.token_hex(32), nodes=())
    arguments = [
        "--head",
        f"--port={port}",
        f"--ray-client-server-port={client_port}",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard_port}",
        f"--temp-dir={_temp_dir(state_dir)}",
    ]
    node = await _start(pool, state_dir, cluster, arguments, object_store_bytes)
    return LocalCluster(port=port, dashboard_port=dashboard_port, token=cluster.token, nodes=(node,))


async def start_worker(pool: Pool, state_dir: Path, cluster: LocalCluster, object_store_bytes: int) -> LocalNode:
    """Adds a node. Raises `Unreachable` with what Ray said."""
    arguments = [f"--address={cluster.address}"]
    return await _start(pool, state_dir, cluster, arguments, object_store_bytes)


async def _start(
    pool: Pool, state_dir: Path, cluster: LocalCluster, arguments: list[str], object_store_bytes: int
) -> LocalNode:
    name = f"node-{secrets.token_hex(4)}"
    log_path = state_dir / f"{name}.log"
    command = [*START, *arguments, f"--node-ip-address={NODE_IP}", _label(name)]
    # Ray's default ports are one set for the whole machine; a second cluster would lose its agent, and so the Jobs API.
    command += [f"--{what}={port}" for what, port in zip(_FIXED_PORTS, free_ports(len(_FIXED_PORTS)), strict=True)]
    command += ["--min-worker-port=0", "--max-worker-port=0"]  # each worker takes a port that is free
    command += [f"--num-cpus={int(pool.unit.cpus)}", f"--num-gpus={int(pool.unit.gpus)}"]
    command += [f"--memory={pool.unit.memory_bytes}", f"--object-store-memory={object_store_bytes}"]
    if pool.unit.gpus:
        models = pool.gpu_models or (pool.unit.gpu_model,)
        command += ["--resources=" + json.dumps({f"accelerator_type:{model}": pool.unit.gpus for model in models})]
    devices = _free_devices(pool, cluster)
    environment = {**os.environ, **cluster.environment}
    if devices:  # without them Ray would give the first ones to the work of each node
        environment |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))}
    started_ns = time.time_ns()
    with (state_dir / _BEGUN).open("a") as begun:
        begun.write(f"{name}\n")
    process = start_detached(command, log_path, environment)
    node = LocalNode(process.pid, start_time(process.pid) or 0, started_ns, name, devices)
    try:
        await _started(process, log_path)
    except BaseException:  # also when the broker ends meanwhile: nobody else knows of it yet
        node.end()
        raise
    return node


def _free_devices(pool: Pool, cluster: LocalCluster) -> tuple[int, ...]:
    """The GPUs of this machine for one more node; none where the pool's are logical."""
    held = {device for node in cluster.nodes for device in node.devices}
    return tuple(device for device in pool.devices if device not in held)[: int(pool.unit.gpus)]


async def _started(process: subprocess.Popen[bytes], log_path: Path) -> None:
    limit = time.monotonic() + START_TIMEOUT_S
    while b"Ray runtime started" not in log_path.read_bytes():
        if process.poll() is not None:
            said = _COLOUR.sub("", log_path.read_text(errors="replace")).strip().splitlines()
            raise Unreachable(f"Ray did not start: {said[-1] if said else 'no output'} ({log_path})")
        if time.monotonic() > limit:
            busy = "this machine may be too busy for it"
            raise Unreachable(f"Ray did not start within {START_TIMEOUT_S:.0f} s: {busy} ({log_path})")
        await asyncio.sleep(0.1)


def end_begun(state_dir: Path) -> None:
    """Ends nodes that a broker began to start and did not live to remember."""
    path = state_dir / _BEGUN
    if not path.exists():
        return
    for name in path.read_text().split():
        for pid in _leaders(name):
            LocalNode(pid, start_time(pid) or 0, 0, name).end()
    path.unlink()


def _leaders(name: str) -> list[int]:
    """Processes that were started as this node: those of them that lead a session."""
    found, label = [], _label(name).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if label in (entry / "cmdline").read_bytes().split(b"\0") and os.getsid(int(entry.name)) == int(entry.name):
                found.append(int(entry.name))
    return found


def _label(name: str) -> str:
    return f"--labels={LABEL}={name}"


def _temp_dir(state_dir: Path) -> str:
    """A short folder for Ray's sockets, whose paths are limited to about 100 characters."""
    inside = state_dir / "ray"
    if len(str(inside)) <= 40:
        return str(inside)
    return f"/tmp/broker-ray-{os.getuid()}-{hashlib.sha256(str(inside).encode()).hexdigest()[:8]}"
