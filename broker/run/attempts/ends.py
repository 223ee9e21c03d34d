"""Jobs whose ends somebody waits for → that somebody is woken when the end is recorded, and by nothing else.

The last ends are kept at hand, so that whoever is woken, or comes a moment late, need not ask the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from broker.model.jobs import Attempt, Job
from broker.run.lately import Lately
from broker.run.telling.events import Event, Events

_KEPT: Final = 2_048


class Ends:
    """Ends of jobs that this broker records; those that others record are not heard of here."""

    def __init__(self, events: Events) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._last: Lately[str, tuple[Job, Attempt | None]] = Lately(_KEPT)
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

    def seen(self, job_id: str) -> tuple[Job, Attempt | None] | None:
        """A job that has ended lately, and its last attempt; None says nothing."""
        return self._last.get(job_id)

    def _happened(self, event: Event) -> None:
        job = event.job
        if job is None or not job.state.ended or not event.kind.startswith("job."):
            return
        self._last.put({job.id: (job, event.attempt)})
        for name in (job.id, job.array_id):
            for woken in self._waiting.get(name or "", ()):
                woken.set()
