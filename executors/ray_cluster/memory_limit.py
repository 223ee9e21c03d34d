"""Memory limits: a process and a number of bytes → a control group that holds it, where the machine has them.

Version 2 or 1 of control groups, whichever can be written; without either, memory is not limited.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class MemoryLimit:
    """A control group for one attempt; `oom_killed` after its end says whether it ran into the limit."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        self._group: Path | None = None
        for root, file, proof in (
            (_V2, "memory.max", "cgroup.controllers"),
            (_V1, "memory.limit_in_bytes", "memory.limit_in_bytes"),
        ):
            group = root / f"broker-{name}"
            if not (root / proof).exists():
                continue
            try:
                group.mkdir()
                (group / file).write_text(str(limit_bytes))
            except OSError:
                with suppress(OSError):
                    group.rmdir()
                continue
            self._group = group
            return

    def take(self, pid: int) -> None:
        """Puts a process, and all that it will start, under the limit."""
        if self._group is not None:
            with suppress(OSError):
                (self._group / "cgroup.procs").write_text(str(pid))

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel killed something in it for want of memory."""
        if self._group is None:
            return False
        text = ""
        for file in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                text += (self._group / file).read_text()
        counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        return int(counts.get("oom_kill", "0")) > 0

    def close(self) -> None:
        """Removes the group; what is still in it moves up."""
        if self._group is not None:
            parent = self._group.parent / "cgroup.procs"
            with suppress(OSError):
                for pid in (self._group / "cgroup.procs").read_text().split():
                    with suppress(OSError):
                        parent.write_text(pid)
                os.rmdir(self._group)
