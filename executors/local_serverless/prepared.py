"""Sandboxes started ahead: what containers will see → some that are there when one is wanted.

They belong to nobody, hold nothing and are not paid for until a container takes one over.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from executors.local_serverless.container import Container, ContainerFailed
from executors.local_serverless.options import Options
from executors.local_serverless.sandbox import View


class Prepared:
    """Those that wait; `failed` is told of each that could not be started."""

    def __init__(self, root: Path, failed: Callable[[], None]) -> None:
        self._root = root
        self._failed = failed
        self._waiting: dict[View, list[Container]] = {}
        self._coming: Counter[View] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def take(self, view: View) -> Container | None:
        """One that sees what is wanted; None where none waits."""
        waiting = self._waiting.get(view, [])
        while waiting:
            container = waiting.pop()
            if container.alive:
                return container
            self._later(container)
        return None

    def want(self, view: View, options: Options, *kept: View) -> None:
        """Lets as many wait for this view as the options say; those of other views go, but for `kept`."""
        if self._closed:
            return
        for other in [other for other in self._waiting if other != view and other not in kept]:
            for container in self._waiting.pop(other):
                self._later(container)
        waiting = self._waiting.setdefault(view, [])
        for _ in range(options.prepared - len(waiting) - self._coming[view]):
            self._coming[view] += 1
            self._spawn(self._start(view, options.pids))

    async def _start(self, view: View, pids: int) -> None:
        container = Container(self._root, view, pids)
        try:
            await container.start()
            waiting = self._waiting.get(view)
            if not self._closed and waiting is not None:
                waiting.append(container)
                return
        except ContainerFailed as error:
            print(f"a sandbox could not be prepared: {error}", file=sys.stderr, flush=True)
            self._failed()
        finally:
            self._coming[view] -= 1
        await container.end()

    def _later(self, container: Container) -> None:
        self._spawn(container.end())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends all."""
        self._closed = True
        for waiting in self._waiting.values():
            while waiting:
                self._later(waiting.pop())
        while self._tasks:
            await asyncio.gather(*self._tasks)
