"""Pauses between calls that fail: they grow, with jitter, so that many that wait do not come back at once."""

from __future__ import annotations

import asyncio
import random
from typing import Final

FIRST_S: Final = 0.2
LONGEST_S: Final = 10.0


class Backoff:
    """The pauses of one thing that is tried again."""

    def __init__(self) -> None:
        self._pause_s = FIRST_S

    def next_s(self) -> float:
        """How long the next pause is to be; longer each time, up to a limit."""
        pause_s = self._pause_s * random.uniform(0.5, 1.0)
        self._pause_s = min(2 * self._pause_s, LONGEST_S)
        return pause_s

    async def pause(self) -> None:
        """Waits for it."""
        await asyncio.sleep(self.next_s())
