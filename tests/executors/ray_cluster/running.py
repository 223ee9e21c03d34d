"""A Ray cluster that is somebody else's: with a token, Ray's own autoscaler, and nodes that are added and killed."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine.processes import start_detached, start_time
from executors.ray_cluster.local_nodes import NODE_IP, LocalNode
from executors.ray_cluster.ports import free_ports

HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"  # the fake provider's name for the head
RAY = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
SCALED = {"kind": "scaled"}  # label of the nodes that the autoscaler starts
IDLE_MINUTES = 0.05
GIVEN_UP = b"The current node timed out during startup"


@dataclass
class RunningCluster:
    """Its head runs nothing; `environment` is what a process needs to be part of it."""

    folder: Path
    port: int
    client_port: int
    environment: dict[str, str]
    nodes: list[LocalNode]

    @property
    def address(self) -> str:
        return f"{NODE_IP}:{self.port}"

    @property
    def client_address(self) -> str:
        return f"ray://{NODE_IP}:{self.client_port}"

    @property
    def token(self) -> str:
        return self.environment["RAY_AUTH_TOKEN"]

    def add(self, labels: dict[str, str], *more: str, cpus: int = 2) -> LocalNode:
        """A node joins."""
        given = ",".join(f"{name}={value}" for name, value in labels.items())
        arguments = [f"--address={self.address}", f"--labels={given}", f"--num-cpus={cpus}", *more]
        return self._start(f"node-{len(self.nodes)}", arguments)

    def _start(self, name: str, arguments: list[str], **envs: str) -> LocalNode:
        log = self.folder / f"{name}.log"
        agent, metrics = free_ports(2)
        command = [*RAY, f"--node-ip-address={NODE_IP}", "--object-store-memory=150000000", *arguments]
        command += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        home = {"HOME": str(self.folder)}  # where the supervisor keeps what it knows
        environment = {**os.environ, **home, **self.environment, **envs}
        for tries_left in (2, 1, 0):
            log.unlink(missing_ok=True)
            process = start_detached(command, log, environment)
            node = LocalNode(process.pid, start_time(process.pid) or 0, time.time_ns(), name)
            self.nodes.append(node)
            if _started(process, log, tries_left):
                break
            self.nodes.remove(node)
            node.end()
        return node

    def drain(self, node_id: str, seconds: int) -> None:
        """Says that a node will be taken away, as a cloud's notice would."""
        command = [*RAY[:3], "drain-node", f"--address={self.address}", f"--node-id={node_id}"]
        command += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=a test"]
        command += [f"--deadline-remaining-seconds={seconds}"]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, capture_output=True)

    def end(self) -> None:
        for node in reversed(self.nodes):
            node.end()


def _started(process: subprocess.Popen[bytes], log: Path, tries_left: int) -> bool:
    """Whether it has: on a busy machine Ray gives a node up after 30 s, whatever is configured."""
    limit = time.monotonic() + PATIENCE_S
    while b"Ray runtime started" not in log.read_bytes():
        ended = process.poll() is not None
        if tries_left and ended and GIVEN_UP in log.read_bytes():
            return False
        assert not ended, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.05)
    return True


def start(folder: Path, *, scaled: bool = True) -> RunningCluster:
    """A head, and if `scaled` an autoscaler (version 2) that may start two nodes with 2 CPUs and 2 L4 each."""
    port, client_port, dashboard_port = free_ports(3)
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "90",  # the machine may be busy with other tests
    }
    cluster = RunningCluster(folder, port, client_port, environment, [])
    config = folder / "autoscaler.json"  # JSON is YAML
    config.write_text(json.dumps(_autoscaler(cluster.address)))
    arguments = ["--head", f"--port={port}", f"--ray-client-server-port={client_port}", "--num-cpus=0"]
    arguments += [f"--dashboard-port={dashboard_port}", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}/ray"]
    arguments += [f"--autoscaling-config={config}"] if scaled else []
    try:
        cluster._start("head", arguments, RAY_CLOUD_INSTANCE_ID=HEAD_ID, RAY_OVERRIDE_NODE_ID_FOR_TESTING=HEAD_ID)
    except BaseException:
        cluster.end()
        raise
    return cluster


def _autoscaler(gcs_address: str) -> dict:
    worker = {
        "resources": {"CPU": 2, "GPU": 2, "accelerator_type:L4": 2, "object_store_memory": 80_000_000},
        "labels": SCALED,
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    }
    provider = {
        "type": "external",  # Ray's own provider for tests, by its class: the wheel lacks the defaults of its name
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": gcs_address,
        "head_node_id": HEAD_ID,
        "launch_multiple": True,
    }
    return {
        "cluster_name": "somebody-else-s",
        "max_workers": 4,
        "provider": provider,
        "available_node_types": {
            "worker": worker,
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
        },
        "head_node_type": "ray.head.default",
        "idle_timeout_minutes": IDLE_MINUTES,
        "upscaling_speed": 1.0,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }
