"""Processor time of a broker and of all that it has started, by what they are."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Final

from executors.on_machine.processes import descendants

_TICKS: Final = os.sysconf("SC_CLK_TCK")
# What a part of a command line says of a process; the first that fits counts.
_ROLES: Final = {
    "broker.api.serve": "daemon",
    "ray_cluster.gateway": "gateway",
    "ray::Supervisor": "supervisor",
    "ray::": "workers",
    "on_machine/agent.py": "containers",
    "local_serverless.host": "host",
    "capacity.compiling": "compiling for forecasts",
    "": "Ray",
}


def used(state: Path) -> Counter[str]:
    """Milliseconds that the processes of a broker with this state folder have used, with those they waited for."""
    roots = [json.loads((state / "daemon.json").read_text())["pid"]]
    cluster = state / "pools" / "ray" / "cluster.json"
    if cluster.exists():
        roots += [node["pid"] for node in json.loads(cluster.read_text())["nodes"]]
    found: Counter[str] = Counter()
    for pid in {*roots, *_with(str(state)), *(below for root in roots for below in descendants(root))}:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        role = next(role for part, role in _ROLES.items() if part in command)
        # The daemon's children are here themselves; what else it waits for is no part of this.
        found[role] += 1_000 * sum(map(int, stat[11 : 13 if role == "daemon" else 15])) // _TICKS
    return found


def _with(text: str) -> set[int]:
    """Processes whose command line has a text, and all below them."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = text.encode() in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if named:
            found |= {int(entry.name), *descendants(int(entry.name))}
    return found
