"""Environments: requirements and a setup script → a folder with a Python environment, built once per key and node."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from executors.ray_cluster.order import Order


class EnvironmentFailed(Exception):
    """An environment could not be built; the text says why, the log has the rest."""


def prepare(order: Order, work: Path, envs: Mapping[str, str], log: IO[bytes]) -> dict[str, str]:
    """Builds what the order's key needs unless it is there, and returns the variables that use it.

    Raises `EnvironmentFailed`.
    """
    if not order.requirements and not order.setup:
        return {}
    home = Path(order.root) / "environments" / order.environment
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = {"BROKER_ENVIRONMENT": str(home)}
    if order.requirements:
        found |= {"VIRTUAL_ENV": str(home / "venv"), "PATH": f"{home}/venv/bin:{envs['PATH']}"}
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _build(order, home, work, {**envs, **found}, log)
            (home / "ready").touch()
    return found


def _build(order: Order, home: Path, work: Path, envs: Mapping[str, str], log: IO[bytes]) -> None:
    uv = [sys.executable, "-m", "uv"]
    if order.requirements:
        wanted = [*order.requirements, *(["cloudpickle"] if order.payload is not None else [])]
        _run([*uv, "venv", "--quiet", "--clear", str(home / "venv")], work, None, log, "the Python environment")
        python = str(home / "venv" / "bin" / "python")
        _run([*uv, "pip", "install", "--quiet", "--python", python, *wanted], work, None, log, "requirements")
    if order.setup:
        _run(["bash", "-c", order.setup], work, envs, log, "setup")


def _run(argv: list[str], cwd: Path, envs: Mapping[str, str] | None, log: IO[bytes], what: str) -> None:
    done = subprocess.run(argv, cwd=cwd, env=envs, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    log.write(done.stdout + done.stderr)
    log.flush()
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise EnvironmentFailed(f"{what} failed (exit code {done.returncode}): {said[0] if said else 'no output'}")
