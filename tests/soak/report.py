"""What a soak says while it runs and at its end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MOST_SHOWN: Final = 40


@dataclass
class Report:
    """Progress, line by line, then what was seen, then what was wrong."""

    started_s: float
    seen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """A line of progress with the time since the start."""
        minutes, seconds = divmod(time.monotonic() - self.started_s, 60)
        print(f"{minutes:3.0f}:{seconds:02.0f}  {line}", flush=True)

    def note(self, line: str) -> None:
        """A line of the summary."""
        self.seen.append(line)

    def counted(self, what: str, counter: Counter[str]) -> None:
        """A line of the summary with numbers."""
        if counter:
            self.note(f"{what}: " + ", ".join(f"{name} {number}" for name, number in sorted(counter.items())))

    def end(self) -> None:
        """Prints the summary."""
        print("\n" + "\n".join(self.seen))
        if not self.wrong:
            print("\nNothing was wrong.")
            return
        print(f"\n{len(self.wrong)} things were wrong:")
        for line in self.wrong[:MOST_SHOWN]:
            print(f"  {line}")
        if len(self.wrong) > MOST_SHOWN:
            print(f"  and {len(self.wrong) - MOST_SHOWN} more")
