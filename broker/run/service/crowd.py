"""Many that follow → one that looks for all who wait for the same, and one answer for all who ask the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from broker.run.service.turns import Turns

Answer = TypeVar("Answer")
_LOOKS_PER_S: Final = 1_000  # of all that watch together: what the loop has room for beside its work
_LOOK_EVERY_S: Final = 0.1  # an executor has no way to say that a job has written something
_FRESH_S: Final = 0.05  # how old an answer may be that others asked for
_MOST_ANSWERS: Final = 64  # that are kept; a piece of output is the largest


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One that looks, and those who wait for what it finds."""

    task: asyncio.Task[Any]
    waiting: set[asyncio.Future[None]] = field(default_factory=set)


class Crowd:
    """All followers of a broker."""

    def __init__(self) -> None:
        self.size = 0
        self.turns = Turns()
        self._answers: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}
        self._watches: dict[Hashable, _Watch] = {}

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
        """How long each that watches waits between two looks: longer, the more there are."""
        return max(_LOOK_EVERY_S, len(self._watches) / _LOOKS_PER_S)

    @property
    def dense(self) -> bool:
        """Whether so many watch that nobody may look at once whenever anything happens."""
        return self.pace_s > _LOOK_EVERY_S

    async def news(self, key: Hashable, watch: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """What `watch` comes to see, which looks for all that wait for the same; then they go on in turns.

        Raises what it raises. It ends when nobody waits any more.
        """
        found = self._watches.get(key)
        if found is None:
            found = self._watches[key] = _Watch(task=asyncio.ensure_future(watch()))
            found.task.add_done_callback(partial(self._seen, key))
        mine = asyncio.get_running_loop().create_future()
        found.waiting.add(mine)
        try:
            await mine
        finally:
            found.waiting.discard(mine)
            if not found.waiting and self._watches.get(key) is found:
                del self._watches[key]
                found.task.cancel()
        seen: Answer = found.task.result()
        return seen

    def _seen(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        _heard(task)
        watch = self._watches.get(key)
        if watch is not None and watch.task is task:
            del self._watches[key]
            self.turns.let_go(watch.waiting)

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
