"""Environments: requirements and a setup script → the steps that build them, and the variables that use them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from executors.on_machine.order import Order


class EnvironmentFailed(Exception):
    """An environment could not be built; the text says why, the log has the rest."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a build."""

    what: str
    argv: list[str]
    as_job: bool  # with the job's own variables; otherwise with those of a package build


def home_of(order: Order) -> Path:
    """Where its environment is."""
    return Path(order.root) / "environments" / order.environment


def wanted(order: Order) -> bool:
    """Whether anything is to be built."""
    return bool(order.requirements or order.setup)


def variables(order: Order, path: str) -> dict[str, str]:
    """The variables that use the environment."""
    if not wanted(order):
        return {}
    home = home_of(order)
    found = {"BROKER_ENVIRONMENT": str(home)}
    if order.requirements:
        found |= {"VIRTUAL_ENV": str(home / "venv"), "PATH": f"{home}/venv/bin:{path}"}
    return found


def python_of(order: Order) -> str:
    """The interpreter for its functions."""
    return str(home_of(order) / "venv" / "bin" / "python") if order.requirements else sys.executable


def steps(order: Order) -> list[Step]:
    """What builds it, in order."""
    uv, venv = [sys.executable, "-m", "uv"], home_of(order) / "venv"
    found = []
    if order.requirements:
        packages = [*order.requirements, *(["cloudpickle"] if order.payload is not None else [])]
        install = [*uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *packages]
        found.append(Step("the Python environment", [*uv, "venv", "--quiet", "--clear", str(venv)], as_job=False))
        found.append(Step("requirements", install, as_job=False))
    if order.setup:
        found.append(Step("setup", ["bash", "-c", order.setup], as_job=True))
    return found


def failure(step: Step, code: int, said: bytes) -> EnvironmentFailed:
    """The error of a step that failed."""
    lines = said.decode(errors="replace").strip().splitlines()
    return EnvironmentFailed(f"{step.what} failed (exit code {code}): {lines[0] if lines else 'no output'}")
