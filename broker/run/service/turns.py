"""Many that all have something to do at once → a few at a time, with as much time for everybody else between them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

_AT_ONCE: Final = 128  # few enough that the loop is held up for no longer than a small request takes
_STEPS: Final = 4  # of the loop, until who was let go has read something and handed it on


class Turns:
    """Lets go who waits, in order. All of them together have at most half of the loop's time of the processor."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._letting_go: asyncio.Task[None] | None = None

    async def turn(self) -> None:
        """Waits until it is one's turn: where few wait, not at all."""
        mine = asyncio.get_running_loop().create_future()
        self.let_go([mine])
        await mine

    def let_go(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        """These are to go on, when it is their turn."""
        self._waiting.extend(waiting)
        if self._letting_go is None and self._waiting:
            self._letting_go = asyncio.ensure_future(self._let_go())

    async def _let_go(self) -> None:
        try:
            while self._waiting:
                begun_s = time.thread_time()
                for each in list(islice(self._waiting, _AT_ONCE)):
                    self._waiting.popleft()
                    if not each.done():
                        each.set_result(None)
                if not self._waiting:
                    return
                for _ in range(_STEPS):
                    await asyncio.sleep(0)
                await asyncio.sleep(time.thread_time() - begun_s)
        finally:
            self._letting_go = None
