"""What is still there when all jobs have ended, and when the broker has: processes, groups, folders, Ray's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.soak.processes import of
from tests.soak.world import World

_GROUPS: Final = Path("/sys/fs/cgroup")
_IN_RAY: Final = """
import json, ray
from ray.util.placement_group import placement_group_table
ray.init(address="{address}", log_to_driver=False, logging_level="ERROR", namespace="broker")
groups = [each["name"] for each in placement_group_table().values() if each["state"] != "REMOVED"]
actors = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
free, there = ray.available_resources(), ray.cluster_resources()
held = {{what: there[what] - free.get(what, 0) for what in ("CPU", "memory") if what in there}}
print("found" + json.dumps([groups, actors, held]))
"""


def when_quiet(here: World, attempts: set[str]) -> Iterator[str]:
    """With the broker up and nothing to do: what attempts left behind."""
    yield from _processes(here, attempts)
    yield from _folders(here)
    yield from _groups(attempts)
    groups, actors, held = _in_ray(here)
    yield from (f"a placement group is left on the Ray cluster: {name}" for name in groups)
    if len(actors) > 1:
        yield f"more than one supervisor is on the Ray cluster: {actors}"
    yield from (f"{amount:g} of {what} are taken on the Ray cluster" for what, amount in held.items() if amount > 1.0)


def when_down(here: World) -> Iterator[str]:
    """After the broker has ended with all its pools: what is not of the other Ray cluster or of PostgreSQL."""
    others = {str(here.folder / "ray"), str(here.folder / "data")}
    sessions = {node.pid for node in here.cluster.nodes}
    for pid, process in of(here.folder).items():
        other = process.command.startswith("postgres:") or any(name in process.command for name in others)
        if not other and _session(pid) not in sessions:
            yield f"process {pid} is left: {process.command[:100]}"
    for path in _every(_GROUPS, "broker-*"):
        if str(here.folder) in path.name:
            yield f"control group {path} is left"


def secret_in(folder: Path, secret: bytes) -> Iterator[str]:
    """Files that hold the secret's value in clear."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and secret in path.read_bytes():
            yield f"a secret's value is in {path}"


def _processes(here: World, attempts: set[str]) -> Iterator[str]:
    for pid, process in of(here.folder).items():
        if process.attempt in attempts:
            yield f"process {pid} of attempt {process.attempt}, which has ended, is left: {process.command[:80]}"


def _folders(here: World) -> Iterator[str]:
    """Working copies of attempts; containers that are up have a folder each."""
    for name in ("ray", "lan", "burst"):
        for part in ("attempts", "work"):
            left = list((here.state / "pools" / name / part).glob("*"))
            if left:
                yield f"{len(left)} folders are left in {left[0].parent}: {[each.name for each in left[:5]]}"


def _groups(attempts: set[str]) -> Iterator[str]:
    for path in _every(_GROUPS, "broker-*"):
        if path.name.removeprefix("broker-") in attempts:
            yield f"control group {path} is left"


def _every(folder: Path, pattern: str) -> Iterator[Path]:
    """Control groups of version 2 lie here, of version 1 one folder below."""
    yield from folder.glob(pattern)
    for controller in ("memory", "pids", "cpu"):
        yield from (folder / controller).glob(pattern)


def _in_ray(here: World) -> tuple[list[str], list[str], dict[str, float]]:
    said = subprocess.run(
        [sys.executable, "-c", _IN_RAY.format(address=here.cluster.address)],
        env={**os.environ, **here.cluster.environment, "HOME": str(here.folder / "ray")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    line = next(line for line in said.stdout.splitlines() if line.startswith("found"))
    groups, actors, held = json.loads(line.removeprefix("found"))
    return groups, actors, held


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0
