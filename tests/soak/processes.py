"""Processes of a soak: which there are, of what part of the broker, and whose attempts they run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as /proc has it."""

    pid: int
    parent: int
    command: str
    environment: frozenset[str]

    @property
    def attempt(self) -> str:
        """The attempt that it runs; "" for none."""
        return next((each.partition("=")[2] for each in self.environment if each.startswith("BROKER_ATTEMPT_ID=")), "")


def all_processes() -> dict[int, Process]:
    """Every process of this machine that can be looked at."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if stat[0] != "Z":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                    found[int(entry.name)] = Process(int(entry.name), int(stat[1]), command, frozenset(environment))
    return found


def of(folder: Path) -> dict[int, Process]:
    """Those that name the soak's folder in their command or environment, and all that descend from them."""
    name, everything = str(folder), all_processes()
    ours = {
        pid
        for pid, process in everything.items()
        if pid != os.getpid() and (name in process.command or any(name in each for each in process.environment))
    }
    ours -= ancestors(os.getpid(), everything)
    while more := {pid for pid, process in everything.items() if process.parent in ours and pid not in ours}:
        ours |= more
    return {pid: everything[pid] for pid in ours}


def ancestors(pid: int, everything: dict[int, Process]) -> set[int]:
    """A process, its parent, and so on."""
    found = set()
    while pid in everything:
        found.add(pid)
        pid = everything[pid].parent
    return found


def running_attempts(processes: dict[int, Process]) -> dict[int, Process]:
    """The Ray workers that run an attempt's command now, or a function's."""
    found = {}
    for process in processes.values():
        parent = processes.get(process.parent)
        if process.attempt and parent is not None and not parent.attempt:
            found[parent.pid] = parent
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
