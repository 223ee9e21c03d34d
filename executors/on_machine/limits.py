"""Limits: memory, processes and CPU time of a process tree → control groups, version 2 or 1, where they are writable.

Without either nothing is limited here, and `kind` says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from executors.on_machine.processes import end, marked, send

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
NO_MEMORY_LIMIT: Final = 1 << 50  # bytes: for a limit that is set later
_ENTER: Final = 'while [ "$1" != -- ]; do { echo 0 >"$1"; } 2>/dev/null; shift; done; shift; exec "$@"'


def kind() -> str:
    """Which limits are in force on this machine."""
    if (_ROOT / "cgroup.controllers").exists() and os.access(_ROOT, os.W_OK):
        return "cgroup v2"
    if os.access(_ROOT / "memory", os.W_OK) and (_ROOT / "memory" / "memory.limit_in_bytes").exists():
        return "cgroup v1"
    return "no limits on memory and processes"


def drop_left(prefix: str) -> None:
    """Removes groups of processes that have ended: of names like `{prefix}{pid}`, what no process is in."""
    for group in [*_ROOT.glob(f"broker-{prefix}*"), *_ROOT.glob(f"memory/broker-{prefix}*")]:
        pid = group.name.removeprefix(f"broker-{prefix}")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                group.rmdir()


def end_left(attempt_id: str) -> None:
    """Ends what an attempt runs that nobody watches any more, and removes its control groups."""
    end(lambda: marked("BROKER_ATTEMPT_ID", attempt_id), 0.0)
    Limits(attempt_id, memory_bytes=NO_MEMORY_LIMIT).end()


class Limits:
    """Control groups for one tree of processes; zero limits nothing."""

    def __init__(self, name: str, *, memory_bytes: int = 0, pids: int = 0, cpus: float = 0.0) -> None:
        quota = str(max(int(cpus * _PERIOD_US), 1_000)) if cpus else ""
        self.groups: list[Path] = []
        if kind() == "cgroup v2":
            cpu_max = f"{quota} {_PERIOD_US}" if quota else ""
            self._make(_ROOT / f"broker-{name}", {"memory.max": memory_bytes, "pids.max": pids, "cpu.max": cpu_max})
        elif kind() == "cgroup v1":
            self._make(_ROOT / "memory" / f"broker-{name}", {"memory.limit_in_bytes": memory_bytes})
            self._make(_ROOT / "pids" / f"broker-{name}", {"pids.max": pids})
            self._make(_ROOT / "cpu" / f"broker-{name}", {"cpu.cfs_quota_us": quota})

    def _make(self, group: Path, wanted: dict[str, int | str]) -> None:
        limits = {file: value for file, value in wanted.items() if value}
        if not limits or not group.parent.is_dir():
            return
        with suppress(OSError):
            group.mkdir(exist_ok=True)
            for file, value in limits.items():
                (group / file).write_text(str(value))
            self.groups.append(group)

    def change(self, *, memory_bytes: int, cpus: float = 0.0) -> None:
        """Other limits for those of memory and CPU time that were set when this was made; without CPUs, of memory."""
        values = {"memory.max": str(memory_bytes), "memory.limit_in_bytes": str(memory_bytes)}
        if cpus:
            quota = str(max(int(cpus * _PERIOD_US), 1_000))
            values |= {"cpu.max": f"{quota} {_PERIOD_US}", "cpu.cfs_quota_us": quota}
        for group in self.groups:
            for file, value in values.items():
                if (group / file).exists():
                    with suppress(OSError):
                        (group / file).write_text(value)

    @property
    def _doors(self) -> list[Path]:
        """Files to which a process writes 0 to be under the limits, with all that it will start.

        By version 1, a process that moves its own thread is moved at once. Otherwise the kernel waits for an RCU grace
        period, 10 to 20 ms: the process itself where it moves itself; one that another moves runs on without limits.
        """
        return [group / ("tasks" if (group / "tasks").exists() else "cgroup.procs") for group in self.groups]

    def entering(self) -> list[str]:
        """What a command is started with to be under the limits from its beginning; nothing where there are none."""
        files = self._doors
        return ["/bin/sh", "-c", _ENTER, "sh", *map(str, files), "--"] if files else []

    @contextmanager
    def doors(self) -> Iterator[list[int]]:
        """The same for a process that runs already: open files for it, also where it can't see them by name."""
        with ExitStack() as files:
            opened = []
            for door in self._doors:
                opened.append(os.open(door, os.O_WRONLY))
                files.callback(os.close, opened[-1])
            yield opened

    @property
    def oom_kills(self) -> int:
        """How many processes in it the kernel has ended for want of memory."""
        total = 0
        for group in self.groups:
            for file in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    counts = dict(line.split(" ", 1) for line in (group / file).read_text().splitlines())
                    total += int(counts.get("oom_kill", "0"))
        return total

    def members(self) -> list[int]:
        """Processes in it."""
        found: set[int] = set()
        for group in self.groups:
            with suppress(OSError):
                found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
        return sorted(found)

    def end(self) -> None:
        """Ends what is in the groups and removes them; waits for that."""
        end(self.members, 0.0)
        self.close()

    def close(self, *, kill: bool = False) -> bool:
        """Removes the groups; with `kill`, ends what is in them, otherwise it moves up. False while something dies."""
        if kill:
            send(self.members(), 9)
        for group in list(self.groups):
            with suppress(OSError):
                if not kill:
                    _move_up(group)
                os.rmdir(group)
            if not group.exists():
                self.groups.remove(group)
        return not self.groups


def _move_up(group: Path) -> None:
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(OSError):
            (group.parent / "cgroup.procs").write_text(pid)
