"""Memory and open files of the broker's long-lived processes, sampled as long as the soak runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.soak.faults import GATEWAY, HOST
from tests.soak.processes import of
from tests.soak.world import World

EVERY_S: Final = 5.0
WARM_S: Final = 60.0  # a process is looked at from here on: before, it has not done everything once
LONG_S: Final = 120.0  # only a life of this length after that says something
MORE_FILES: Final = 25
MORE_MIB_PER_MINUTE: Final = 4.0
ROLES: Final = {
    "broker serve": "daemon",
    HOST: "container host",
    GATEWAY: "Ray gateway",
    "ray::Supervisor": "supervisor",
}


@dataclass
class Life:
    """What one process needed, over time."""

    role: str
    samples: list[tuple[float, int, int]] = field(default_factory=list)  # when, MiB, open files

    @property
    def warm(self) -> list[tuple[float, int, int]]:
        return [each for each in self.samples if each[0] >= self.samples[0][0] + WARM_S]

    @property
    def long(self) -> bool:
        return bool(self.warm) and self.warm[-1][0] - self.warm[0][0] >= LONG_S


@dataclass
class Watch:
    """All of them."""

    here: World
    lives: dict[int, Life] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY_S):
            self.sample()

    def sample(self) -> None:
        for pid, process in of(self.here.folder).items():
            role = next((role for part, role in ROLES.items() if part in process.command), None)
            if role is not None:
                with suppress(OSError):
                    sample = (time.monotonic(), _mib(pid), len(os.listdir(f"/proc/{pid}/fd")))
                    self.lives.setdefault(pid, Life(role)).samples.append(sample)

    def wrong(self) -> Iterator[str]:
        """Processes that grew steadily: from one half of their life to the other, and at their end as well."""
        for pid, life in self.lives.items():
            if not life.long:
                continue
            minutes = (life.warm[-1][0] - life.warm[0][0]) / 60
            first, last = _ends(life.warm)
            if last[1] - first[1] > MORE_FILES:
                yield f"{life.role} {pid} had {first[1]} open files, and {last[1]} after {minutes:.1f} min"
            if last[0] - first[0] > MORE_MIB_PER_MINUTE * minutes:
                yield f"{life.role} {pid} had {first[0]} MiB, and {last[0]} after {minutes:.1f} min"

    def shown(self) -> Iterator[str]:
        """A line for each long life."""
        for pid, life in self.lives.items():
            if life.long:
                first, last = _ends(life.warm)
                minutes = (life.warm[-1][0] - life.warm[0][0]) / 60
                course = " ".join(str(each[1]) for each in life.samples[:: max(len(life.samples) // 8, 1)])
                yield (
                    f"{life.role} {pid}, {minutes:.1f} min: {first[1]} to {last[1]} open files, "
                    f"most {max(each[2] for each in life.samples)}; MiB {course}"
                )


def _ends(samples: list[tuple[float, int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The least of the first and of the last quarter, MiB and files: what it has when it has nothing special to do."""
    quarter = max(len(samples) // 4, 1)
    first, last = samples[:quarter], samples[-quarter:]
    return (
        (min(each[1] for each in first), min(each[2] for each in first)),
        (min(each[1] for each in last), min(each[2] for each in last)),
    )


def _mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)
