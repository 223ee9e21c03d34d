"""Jobs that are left of a long run → a line that says how far it is, and about how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from broker.decide.wording import seconds

EVERY_S: Final = 0.5


class Progress:
    """What is said of one run, now and then."""

    def __init__(
        self, title: str, jobs: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._jobs, self._say, self._clock = title, jobs, say, clock
        self._began_s = self._said_s = clock()
        say(f"{title}: {jobs:,} jobs")

    def left(self, jobs: int) -> None:
        """Says how far it is, if it was not just said."""
        now_s = self._clock()
        if now_s - self._said_s < EVERY_S or jobs == self._jobs:
            return
        self._said_s = now_s
        done = self._jobs - jobs
        more_s = (now_s - self._began_s) * jobs / done
        self._say(f"{self._title}: {done:,} of {self._jobs:,} jobs, about {seconds(round(more_s))} more")
