"""Lives of containers → what is paid for: measured as they happen, and kept for the next host process."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from broker.model.resources import Resources
from executors.on_machine.clock import SteadyClock
from executors.on_machine.journal import Journal

Life = dict[str, Any]


class Lives:
    """One line a container; `interrupted_ns` is when the lives ended that an earlier host left open."""

    def __init__(self, root: Path, reports: Journal) -> None:
        self._journal = Journal(root / "units.jsonl")
        self._alive = root / "alive"
        known = [*self._journal.reports.values(), *reports.reports.values()]
        times = [time_ns for line in known for name, time_ns in line.items() if name.endswith("_ns") and time_ns]
        self.interrupted_ns = max(*times, self._alive.stat().st_mtime_ns if self._alive.exists() else 0, 0)
        self.clock = SteadyClock(self.interrupted_ns)
        for life in [life for life in self._journal.reports.values() if life["ended_ns"] is None]:
            self.note(life | {"ended_ns": self.interrupted_ns})
        self.beat()

    def begin(self, unit_id: str, resources: Resources, caused_by: str | None) -> Life:
        """A container is started, from now on it is paid."""
        life = {
            "attempt_id": unit_id,
            "resources": asdict(resources),
            "started_ns": self.clock.now_ns(),
            "ready_ns": None,
            "ended_ns": None,
            "caused_by": caused_by,
        }
        self.note(life)
        return life

    def note(self, life: Life) -> None:
        """Keeps what is known of a life."""
        self._journal.write(life)

    def since(self, since_ns: int) -> list[Life]:
        """Lives that had not ended before."""
        return [life for life in self._journal.reports.values() if (life["ended_ns"] or since_ns) >= since_ns]

    def trim(self, before_ns: int, needed: set[str]) -> None:
        """Drops lives that ended before, but for those that are needed."""
        for name, life in list(self._journal.reports.items()):
            if name not in needed and life["ended_ns"] is not None and life["ended_ns"] < before_ns:
                self._journal.forget(name)

    def beat(self) -> int:
        """Notes that this process lives, so that the next one knows until when; the time now."""
        now_ns = self.clock.now_ns()
        if not self._alive.exists():
            self._alive.touch(mode=0o600)
        os.utime(self._alive, ns=(time.time_ns(), now_ns))
        return now_ns
