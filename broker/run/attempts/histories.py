"""How long earlier jobs of a name ran: read from the store, and kept up with what ends here for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from broker.model.jobs import Job, JobState
from broker.model.money import NS_PER_S
from broker.ports import Store
from broker.run.lately import Lately
from broker.run.telling.events import Event, Events

LAST: Final = 50  # runs of a name
FRESH_S: Final = 1.0  # what other brokers record meanwhile is learned afterwards
_KEPT: Final = 1_000  # names

Key = tuple[str, str]  # user and name of a job


@dataclass(frozen=True, slots=True)
class _Read:
    at_s: float
    runtimes: tuple[float, ...]


class Histories:
    """Seconds that the last succeeded runs took, by whose jobs of which name they were."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._read: Lately[Key, _Read] = Lately(_KEPT)
        events.call(self._happened)

    async def of(self, jobs: Iterable[Job]) -> dict[Key, tuple[float, ...]]:
        """Those of all that these jobs are like, newest first."""
        wanted = {(job.user, job.spec.name) for job in jobs}
        old_s = time.monotonic() - FRESH_S
        found = {key: known.runtimes for key, known in self._read.of(wanted).items() if known.at_s > old_s}
        if missing := wanted - found.keys():
            at_s = time.monotonic()
            read = await asyncio.to_thread(lambda: {key: self._store.runtimes(*key, LAST) for key in missing})
            found |= read
            self._read.put({key: _Read(at_s, runtimes) for key, runtimes in read.items()})
        return found

    def _happened(self, event: Event) -> None:
        job, attempt = event.job, event.attempt
        if event.kind != f"job.{JobState.SUCCEEDED}" or job is None or attempt is None:
            return
        key = (job.user, job.spec.name)
        known = self._read.get(key)
        if known is not None and attempt.started_ns is not None and attempt.ended_ns is not None:
            ran_s = (attempt.ended_ns - attempt.started_ns) / NS_PER_S
            self._read.put({key: _Read(known.at_s, (ran_s, *known.runtimes)[:LAST])})
