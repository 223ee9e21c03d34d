"""Live attempts: those that have not ended, each with its job, in memory; the store has the same and is the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from broker.decide.progress import Progress
from broker.model.jobs import Attempt, Job
from broker.model.placement import Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An attempt and the job it runs."""

    job: Job
    attempt: Attempt
    quote: Quote | None  # what was expected of it when it was placed; None: not known any more
    launched: bool  # the executor is known to have accepted it
    unit_ids: tuple[str, ...] = ()  # where it runs, as far as the executor has said

    @property
    def in_line(self) -> bool:
        """Whether it waits for a place in its pool: it was launched before there was room, and has not begun."""
        return self.quote is not None and not self.quote.available_now and self.attempt.started_ns is None

    @property
    def expected_s(self) -> float:
        """How long it was thought to run."""
        return self.quote.duration.p50_s if self.quote else 0.0


class LiveAttempts:
    """The open attempts by id."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(tuple(self._held.values()))

    def of_pool(self, pool: str) -> list[Held]:
        """Those in one pool."""
        return [held for held in self._held.values() if held.attempt.pool == pool]

    def of_job(self, job_id: str) -> list[Held]:
        """Those of one job."""
        return [held for held in self._held.values() if held.job.id == job_id]

    def get(self, attempt_id: str) -> Held | None:
        """One of them; None when it has ended or was never here."""
        return self._held.get(attempt_id)

    def put(self, held: Held) -> None:
        """Adds or replaces one."""
        self._held[held.attempt.id] = held

    def launched(self, attempt_id: str) -> None:
        """Notes that the executor accepted it; nothing when it has already ended."""
        if held := self._held.get(attempt_id):
            self._held[attempt_id] = replace(held, launched=True)

    def follow(self, progress: Progress) -> None:
        """Takes over what was recorded; an ended attempt leaves."""
        held = self._held[progress.attempt.id]
        if progress.attempt.state.ended:
            del self._held[progress.attempt.id]
        else:
            moved = replace(held, job=progress.job, attempt=progress.attempt, launched=True)
            self._held[progress.attempt.id] = replace(moved, unit_ids=progress.unit_ids or held.unit_ids)
