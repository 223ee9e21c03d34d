"""Jobs whose ends somebody waits for → that somebody is woken when the end is recorded, and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from broker.run.telling.events import Event, Events


class Ends:
    """Ends of jobs that this broker records; those that others record are not heard of here."""

    def __init__(self, events: Events) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        events.call(self._happened)

    @contextmanager
    def awaited(self, names: Iterable[str]) -> Iterator[asyncio.Event]:
        """What is set whenever one of these jobs, or a task of one of these arrays, has ended."""
        woken, mine = asyncio.Event(), list(names)
        for name in mine:
            self._waiting.setdefault(name, set()).add(woken)
        try:
            yield woken
        finally:
            for name in mine:
                self._waiting[name].discard(woken)
                if not self._waiting[name]:
                    del self._waiting[name]

    def _happened(self, event: Event) -> None:
        job = event.job
        if job is None or not job.state.ended or not event.kind.startswith("job."):
            return
        for name in (job.id, job.array_id):
            for woken in self._waiting.get(name or "", ()):
                woken.set()
