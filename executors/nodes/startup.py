"""A node's settings → the script that its machine runs when it boots: Ray installed, joined, and watched.

The same script at every provider: as user data for cloud-init, as start-up script at Google. Where it fails, the
machine ends itself; and its first line schedules a shutdown for the end of its lifetime, should the watchdog fail.
"""

from __future__ import annotations

import base64
import gzip
import json
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any, Final, Literal

from broker.model.pools import Pool
from executors.nodes.settings import NodeSettings

RAY_PORT: Final = 6379
DASHBOARD_PORT: Final = 8265
CLIENT_PORT: Final = 10001
LABEL: Final = "broker-node"  # of a Ray node: the provider's id of its machine
HOME: Final = "/opt/broker"
_DRAIN: Final = (f"{HOME}/ray-as-user", "drain-node")
TOKEN_LINE: Final = "BROKER_RAY_TOKEN="


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What one machine of a cluster is to be."""

    head: bool
    works: bool  # False: a head that runs no jobs
    head_address: str = ""  # of the head, inside the network; "" on the head itself
    token: str  # lets it into the cluster


def script(pool: Pool, settings: NodeSettings, role: Role, metadata: Literal["ec2", "gce"]) -> str:
    """The script; `metadata` is how the machine learns about itself, and about notices.

    It holds the cluster's token: whoever may read a machine's start-up script may join the cluster.
    """
    return _template().substitute(
        token=role.token,
        lifetime_minutes=max(int(_lifetime_s(settings, role) // 60), 1),
        metadata=metadata,
        python=settings.python or ".".join(platform.python_version_tuple()[:2]),
        packages=shlex.join((f"ray[client,default]=={version('ray')}", *settings.packages)),
        setup="\n".join(settings.setup) or "true",
        ray=_ray_start(pool, role),
        config=json.dumps(_watchdog_config(settings, role, metadata)),
        watchdog=_watchdog(),
    )


def _lifetime_s(settings: NodeSettings, role: Role) -> float:
    return settings.head_max_lifetime_s if role.head else settings.max_lifetime_s


def _ray_start(pool: Pool, role: Role) -> str:
    unit = pool.unit
    words = ["--block", "--disable-usage-stats", "--node-ip-address=$ADDRESS", f"--labels={LABEL}=$NODE"]
    if role.head:
        words += [
            "--head",
            f"--port={RAY_PORT}",
            f"--ray-client-server-port={CLIENT_PORT}",
            "--dashboard-host=$ADDRESS",
            f"--dashboard-port={DASHBOARD_PORT}",
        ]
    else:
        words += [f"--address={role.head_address}:{RAY_PORT}"]
    if not role.works:
        return " ".join([*words, "--num-cpus=0", "--num-gpus=0"])
    words += [f"--num-cpus={int(unit.cpus)}", f"--num-gpus={int(unit.gpus)}", f"--memory={unit.memory_bytes}"]
    if unit.gpus:
        kinds = {f"accelerator_type:{model}": unit.gpus for model in pool.gpu_models or (unit.gpu_model,)}
        words.append(f"--resources='{json.dumps(kinds)}'")
    return " ".join(words)


def _watchdog_config(settings: NodeSettings, role: Role, metadata: str) -> Mapping[str, Any]:
    return {
        "max_lifetime_s": _lifetime_s(settings, role),
        "drain_s": settings.drain_s,
        "idle_s": settings.head_idle_s if role.head else settings.idle_s,
        "boot_s": settings.boot_s,
        "lost_s": settings.lost_s,
        "every_s": 5,
        "notice": metadata,
        "metadata": "http://169.254.169.254",
        "head_port": RAY_PORT if role.head else None,
        # Ray can't drain the node that holds the cluster together.
        "drain": [] if role.head else [*_DRAIN, "--address", f"{role.head_address}:{RAY_PORT}"],
        "end": ["systemctl", "poweroff"],
        "state": "/run/broker/node.json",
    }


@cache
def _template() -> Template:
    return Template((Path(__file__).parent / "startup.sh").read_text(encoding="utf-8"))


@cache
def _watchdog() -> str:
    """The program, packed: providers limit what a machine may be told."""
    source = (Path(__file__).parent / "watchdog.py").read_bytes()
    return base64.encodebytes(gzip.compress(source, mtime=0)).decode()


def token_of(text: str) -> str | None:
    """The token in a script; None where there is none."""
    lines = (line.removeprefix(TOKEN_LINE) for line in text.splitlines() if line.startswith(TOKEN_LINE))
    return next(lines, None)
