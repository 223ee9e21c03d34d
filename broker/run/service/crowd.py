"""Many that follow → how often each looks, and one look for all that ask the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")
_LOOKS_PER_S: Final = 1_000  # of all followers together: what the loop has room for beside its work
_LOOK_EVERY_S: Final = 0.1  # an executor has no way to say that a job has written something
_FRESH_S: Final = 0.05  # how old an answer may be that others asked for
_MOST_ANSWERS: Final = 64  # that are kept; a piece of output is the largest


class Crowd:
    """All followers of a broker."""

    def __init__(self) -> None:
        self.size = 0
        self._answers: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    @contextmanager
    def joined(self) -> Iterator[None]:
        """One more for as long as this lasts."""
        self.size += 1
        try:
            yield
        finally:
            self.size -= 1

    @property
    def pace_s(self) -> float:
        """How long each waits between two looks: longer, the more there are."""
        return max(_LOOK_EVERY_S, self.size / _LOOKS_PER_S)

    @property
    def dense(self) -> bool:
        """Whether so many follow that nobody may look at once whenever anything happens."""
        return self.pace_s > _LOOK_EVERY_S

    async def ask(self, key: Hashable, find: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """What `find` answers, or has just answered somebody with the same key. Raises what it raises."""
        now = time.monotonic()
        at, task = self._answers.get(key, (0.0, None))
        if task is None or (task.done() and now - at > _FRESH_S):
            while len(self._answers) >= _MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
            task = asyncio.ensure_future(find())
            task.add_done_callback(_heard)
            self._answers[key] = (now, task)
        found: Answer = await asyncio.shield(task)
        return found


def _heard(task: asyncio.Task[Any]) -> None:
    """Whoever asked may be gone: an error that nobody takes is not reported as lost."""
    if not task.cancelled():
        task.exception()
