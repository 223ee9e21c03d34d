"""Successful runs in virtual time → how long jobs are expected to take, by the function that the live broker asks.

An expected duration is the same object until more is known: what is computed from it is kept by its identity.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque

from broker.decide import spot
from broker.decide.duration import estimate
from broker.model.jobs import Job
from broker.model.placement import Duration

PAST_RUNS = 50  # most runs of a user's job that its next duration is estimated from


class Durations:
    """What is known of how long jobs run; runs are told apart by user and name of the job."""

    def __init__(self) -> None:
        self._past: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=PAST_RUNS))
        self._runs: Counter[tuple[str, str]] = Counter()  # ever
        self._expected: dict[str, tuple[int, Duration]] = {}  # by job, after so many runs of its name
        self._remaining: dict[str, tuple[Duration, float, Duration]] = {}  # by job: of a whole, with so much done

    def remaining(self, job: Job, done_s: float) -> Duration:
        """What is left of a job of which so many seconds are done; the same until more is done or known."""
        whole = self._whole(job)
        known = self._remaining.get(job.id)
        if known is None or known[0] is not whole or known[1] != done_s:
            known = self._remaining[job.id] = (whole, done_s, spot.remaining(whole, done_s))
        return known[2]

    def succeeded(self, job: Job, ran_s: float) -> None:
        """A job has succeeded after so many seconds of work, over all of its attempts."""
        self._past[job.user, job.spec.name].appendleft(ran_s)
        self._runs[job.user, job.spec.name] += 1

    def forget(self, job_id: str) -> None:
        """Drops what was expected of a job that has ended."""
        self._expected.pop(job_id, None)
        self._remaining.pop(job_id, None)

    def _whole(self, job: Job) -> Duration:
        """The expected duration of a job; the same until another of its name has ended."""
        runs = self._runs[job.user, job.spec.name]
        known = self._expected.get(job.id)
        if known is None or known[0] != runs:
            known = (runs, estimate(job.spec, tuple(self._past[job.user, job.spec.name])))
            self._expected[job.id] = known
        return known[1]
