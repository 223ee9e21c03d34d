"""Jobs that can't be decided about: set aside for a while with what was wrong, so that all others go on.

Such a job stays queued, says so itself, and is looked at again after pauses that grow, and by every new broker.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import structlog

from broker.decide.backoff import doubling
from broker.decide.holding import hold_broken
from broker.model.jobs import Job
from broker.run.attempts.register import Register

log = structlog.get_logger()

FIRST_S: Final = 60.0
LONGEST_S: Final = 3_600.0


class Aside:
    """The jobs that one broker has set aside."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._until_s: dict[str, float] = {}  # job id -> monotonic time
        self._times: dict[str, int] = {}

    def now(self) -> frozenset[str]:
        """Ids of those that are not to be looked at."""
        now_s = time.monotonic()
        return frozenset(job_id for job_id, until_s in self._until_s.items() if until_s > now_s)

    def decided(self, job_ids: Iterable[str]) -> None:
        """These could be decided about."""
        for job_id in self._times.keys() & job_ids:
            del self._times[job_id], self._until_s[job_id]

    async def put(self, job: Job, error: Exception) -> None:
        """Sets a job aside and records why. Raises `StoreError` where that can't be recorded for now."""
        again_s = self.put_unread(job.id, error)
        placement = hold_broken(job.id, error, self._register.clock.now_ns(), again_s)
        await self._register.decide([(job, placement)])

    def put_unread(self, job_id: str, error: Exception) -> float:
        """Sets a job aside of which nothing can be recorded; for how many seconds."""
        times = self._times[job_id] = self._times.get(job_id, 0) + 1
        again_s = doubling(FIRST_S, times - 1, LONGEST_S)
        self._until_s[job_id] = time.monotonic() + again_s
        log.error("a job is set aside: nothing can be decided about it", job=job_id, again_in_s=again_s, exc_info=error)
        return again_s
