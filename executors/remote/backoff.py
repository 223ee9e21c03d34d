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

    async def pause(self, until: float | None = None) -> None:
        """Waits for it. Raises TimeoutError when it is later than `until` by the loop's clock.

        A time limit around both the call and its pauses may be lost in the call: its error can come in the very moment
        that it is cancelled.
        """
        if until is not None and asyncio.get_running_loop().time() >= until:
            raise TimeoutError
        await asyncio.sleep(self.next_s())
