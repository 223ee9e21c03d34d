"""The register: what executors report and what the broker decides → the store first, then memory, then whoever waits.

All writes about jobs go through here, one after another, so that memory never runs ahead of the store.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from broker.decide import rest, spot
from broker.decide.holding import MOST_WORDS
from broker.decide.holding import held as is_held
from broker.decide.progress import Progress, advance, attempt_of
from broker.decide.reasons import HELD
from broker.decide.rest import Health
from broker.model.budgets import Reservation
from broker.model.errors import BrokerError, LeaseLost, StoreAway, UnknownName, Unreadable
from broker.model.jobs import Attempt, AttemptReport, AttemptState, Job, JobState, StateChange
from broker.model.placement import Placement, Quote, Verdict
from broker.model.projects import Project
from broker.model.submissions import Entry
from broker.ports import Clock, Store
from broker.run.apart import apart
from broker.run.attempts.lines import Freed, Lines
from broker.run.attempts.live import Held, LiveAttempts
from broker.run.attempts.waits import Waits
from broker.run.secrecy.masking import Masks
from broker.run.telling.changes import Changes
from broker.run.telling.events import Event, Events

T = TypeVar("T")
log = structlog.get_logger()
PASSING = (StoreAway, LeaseLost)  # errors that say nothing of what was to be stored


class Register:
    """Writes job and attempt changes; holds the live attempts."""

    def __init__(self, store: Store, clock: Clock, events: Events | None = None, masks: Masks | None = None) -> None:
        self.store = store
        self._masks = masks
        self.clock = clock
        self.events = events or Events()
        self.live = LiveAttempts()
        self._lines = Lines()
        self._waits = Waits()
        self.changes = Changes()
        self.work = asyncio.Event()  # set when there may be something to dispatch
        self.room = asyncio.Event()  # set when those who wait already may find room that they did not find before
        self.queue_seen_empty = False  # at the last look: until `work` is set, room that comes free is of use to nobody
        self.in_doubt = asyncio.Event()  # set when a write may or may not be in the store: all is to be read anew
        self._writing = asyncio.Lock()
        self._refused: Counter[str] = Counter()
        self._left_alone: set[str] = set()  # attempts that can't be read, or their ends not written: nobody ends them
        self._unread: dict[str, Attempt] = {}  # of these, those whose jobs can't be read
        self.health: dict[str, Health] = {}  # of pools, by what their attempts have shown
        self.avoid: dict[str, dict[str, int]] = {}  # job id -> pools that took it back -> until when to stay away

    def forget(self) -> None:
        """Knows nothing any more of what goes on: all is to be loaded again."""
        self.live = LiveAttempts()
        self._lines, self._waits = Lines(), Waits()
        self._refused.clear()
        self._left_alone.clear()
        self._unread.clear()
        self.in_doubt.clear()

    async def load(self, pool: str) -> None:
        """Takes the open attempts of a pool from the store: what an earlier broker left."""
        for attempt in await asyncio.to_thread(self.store.open_attempts, pool):
            try:
                job, quote = await asyncio.to_thread(self._was, attempt.job_id)
            except Unreadable:
                # Its pool keeps it until a broker comes that can read it.
                log.exception("an attempt is left alone", attempt=attempt.id)
                self._left_alone.add(attempt.id)
                self._unread[attempt.id] = attempt
            else:
                self.live.put(Held(job=job, attempt=attempt, quote=quote, launched=False))

    async def take_up_cancelled(self, pool: str) -> bool:
        """Attempts whose jobs can't be read but are to be cancelled are followed to their end; whether there were any.

        Their pool keeps what they wrote for a broker that knows what is to be masked in it.
        """
        taken = False
        for attempt in [each for each in self._unread.values() if each.pool == pool]:
            job = await asyncio.to_thread(self.store.job, attempt.job_id, shown=True)
            if job.cancel_requested:
                del self._unread[attempt.id]
                self.live.put(Held(job=job, attempt=attempt, quote=None, launched=False))
                taken = True
        if taken:
            self.work.set()
        return taken

    def _was(self, job_id: str) -> tuple[Job, Quote | None]:
        """A job as it is stored, and what was expected of its last attempt, where that can be read."""
        try:
            recorded = self.store.recorded(job_id)
        except Unreadable as error:
            job = self.store.job(job_id)
            log.warning("it is not known any more what was expected of a job that runs", job=job_id, error=str(error))
            return job, None
        taken = [one for one in recorded.placements if one.verdict is Verdict.RUN]
        return recorded.job, taken[-1].chosen if taken else None

    async def apply(self, reports: Sequence[AttemptReport]) -> list[str]:
        """Records what executors report. Returns the attempts that have ended, also those that had ended before."""
        async with self._writing:
            masked = await self._masked(reports)
            progresses = await self._recorded({report.attempt_id: report for report in masked})
            free = [held for progress in progresses if (held := self._follow(progress))]
        if progresses:
            self._announce(event for progress in progresses for event in _happened(progress))
            self._wake(progresses, room=self._lines.leave_room(free, self.live))
        ended = [report.attempt_id for report in reports if report.state.ended]
        return [each for each in ended if each not in self._left_alone]

    async def _recorded(self, reports: Mapping[str, AttemptReport]) -> Sequence[Progress]:
        """What is new, as it is in the store now: what can't be stored of one attempt keeps nothing else out."""
        new = [progress for report in reports.values() if (progress := self._advance(report))]
        pieces, failed = await apart(new, self._written, PASSING)
        for progress, error in failed:
            plain = self._plain(reports[progress.attempt.id], error)
            written, lost = await apart([plain] if plain else [], self._written, PASSING)
            pieces += written
            self._left_alone.update(one.attempt.id for one, _ in lost)
        return [progress for piece in pieces for progress in piece]

    async def _written(self, progresses: Sequence[Progress]) -> Sequence[Progress]:
        await self._stored(self._write, progresses)
        return progresses

    def _follow(self, progress: Progress) -> Freed | None:
        """Takes over what was recorded, and says what it has left: its place in the pool or in the line before it."""
        held, state = self.live.get(progress.attempt.id), progress.attempt.state
        in_line = held is not None and held.in_line
        self.live.follow(progress)
        self._remember_refusal(progress, in_line=in_line)
        has_left = state.ended or (in_line and progress.attempt.started_ns is not None)
        return (held, state) if held is not None and has_left else None

    def _wake(self, progresses: Sequence[Progress], *, room: bool) -> None:
        """Lets the dispatcher look where there is room for somebody who waits for it."""
        again = any(progress.job.state is JobState.QUEUED for progress in progresses)
        if again or (room and not self.queue_seen_empty):
            self.work.set()
            self.room.set()

    async def _masked(self, reports: Sequence[AttemptReport]) -> Sequence[AttemptReport]:
        """The same, with values of secrets masked in what a job's setup or program gave as reason."""
        if not any((held := self.live.get(each.attempt_id)) and held.job.may_have_secrets for each in reports):
            return reports
        return await asyncio.to_thread(lambda: [self._mask(each) for each in reports])

    def _mask(self, report: AttemptReport) -> AttemptReport:
        held = self.live.get(report.attempt_id)
        if held is None or self._masks is None:
            return report
        if held.job.unread and report.reason:
            return replace(report, reason="the reason is not shown, as which secrets may be in it is not known")
        try:
            return replace(report, reason=self._masks.of(held.job.spec).text(report.reason))
        except BrokerError as error:
            return replace(report, reason=f"the reason is not shown, as its secrets can't be masked: {error}")

    def _advance(self, report: AttemptReport) -> Progress | None:
        held = self.live.get(report.attempt_id)
        if held is None:
            return None
        try:
            moved = spot.moved(held.job, held.attempt, report)
            return advance(held.job, held.attempt, moved, self.clock.now_ns(), self._refused[held.job.id])
        except Exception as error:
            return self._plain(report, error)

    def _plain(self, report: AttemptReport, error: Exception) -> Progress | None:
        """The state alone that an executor reports, where the rest makes no sense; None where that doesn't help."""
        log.error("a report can't be recorded as it is", attempt=report.attempt_id, exc_info=error)
        now_ns = self.clock.now_ns()
        reason = f"what its pool reported of it could not be recorded: {type(error).__name__}: {error}"[:MOST_WORDS]
        plain = AttemptReport(attempt_id=report.attempt_id, state=report.state, at_ns=now_ns, reason=reason)
        held = self.live.get(report.attempt_id)
        try:
            return advance(held.job, held.attempt, plain, now_ns, self._refused[held.job.id]) if held else None
        except Exception:
            log.exception("an attempt is left alone", attempt=report.attempt_id)
            self._left_alone.add(report.attempt_id)
            return None

    def _remember_refusal(self, progress: Progress, *, in_line: bool) -> None:
        """What a pool took back counts against no retry, stays away from it for a while, and speaks against it.

        One that waited in line was not promised a place: that none came free is not the pool's failure.
        """
        attempt = progress.attempt
        if attempt.reason == spot.LEAVES and attempt.state.ended:
            self._refused[progress.job.id] += 1
        if attempt.state.ended and not (in_line and attempt.state is AttemptState.REFUSED):
            now_ns = self.clock.now_ns()
            self.health[attempt.pool] = rest.after(self.health.get(attempt.pool, rest.WELL), attempt, now_ns)
        job_id, retry = progress.job.id, progress.retry
        if progress.job.state.ended:
            self._refused.pop(job_id, None)
            self.avoid.pop(job_id, None)
        elif retry is not None and retry.avoid_pool:
            self._refused[job_id] += 1
            self.avoid.setdefault(job_id, {})[retry.avoid_pool] = retry.avoid_until_ns

    def _write(self, progresses: Sequence[Progress]) -> None:
        self.store.record(
            jobs=[progress.job for progress in progresses],
            attempts=[progress.attempt for progress in progresses],
            changes=[change for progress in progresses for change in progress.changes],
        )

    async def _stored(self, write: Callable[..., T], *args: Any, **news: Any) -> T:
        """One write. Raises what the store raises; after `StoreAway` nobody knows whether it was done.

        Who is cancelled waits for its end: what is loaded afterwards must not be changed by it.
        """
        writing = asyncio.ensure_future(asyncio.to_thread(write, *args, **news))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        except StoreAway:
            self.in_doubt.set()
            raise

    async def decide(
        self,
        decided: Sequence[tuple[Job, Placement]],
        within: Reservation | None = None,
        quotas: Sequence[Project] = (),
    ) -> list[Held]:
        """Records placements: attempts of those that run, ends of those that can't, reasons of those that wait.

        Returns the attempts to launch, stored before anything is started; without those that another broker was faster
        with, and those that `quotas` have no room for any more. Raises `OverBudget` where they don't fit `within`
        budgets.
        """
        now = self.clock.now_ns()
        started = [_started(job, placement, now) for job, placement in decided if placement.verdict is Verdict.RUN]
        failed = [_failed(job, placement, now) for job, placement in decided if placement.verdict is Verdict.FAIL]
        waiting = [told for job, placement in decided if (told := _waiting(job, placement)) is not None]
        news = self._waits.news([placement for _, placement in decided])
        if not (news or waiting):
            return []
        async with self._writing:
            mine = await self._stored(
                self.store.decide,
                jobs=[*(held.job for held, _ in started), *(job for job, _ in failed), *waiting],
                attempts=[held.attempt for held, _ in started],
                changes=[*(change for _, change in started), *(change for _, change in failed)],
                placements=news,
                within=within,
                quotas=quotas,
            )
            self._waits.stored(news)
            started = [(held, change) for held, change in started if held.job.id in mine]
            failed = [(job, change) for job, change in failed if job.id in mine]
            for held, _ in started:
                self.live.put(held)
            self._lines.joined([held for held, _ in started], self.live)
        if started or failed:
            begun = [_event(held.job, change, held.attempt) for held, change in started]
            self._announce([*begun, *(_event(job, change, None) for job, change in failed)])
        else:
            self.changes.happened()  # why jobs wait
        return [held for held, _ in started]

    async def begin(self, entry: Entry, placement: Placement) -> tuple[tuple[Job, ...], list[Held]]:
        """Stores a job that is placed already, with its first attempt: what the store returned, and what to launch."""
        held, change = _started(entry.jobs[0], placement, self.clock.now_ns())
        async with self._writing:
            stored = await self._stored(
                self.store.begin, entry, job=held.job, attempt=held.attempt, change=change, placement=placement
            )
            if stored != entry.jobs:
                return stored, []  # it was submitted before
            self.live.put(held)
        self._announce([_event(held.job, change, held.attempt)])
        return stored, [held]

    async def leave(self, held: Held) -> None:
        """Notes that an attempt is told to leave its node, before it is: whoever hears of its end knows why."""
        leaving = replace(held.attempt, reason=spot.LEAVES)
        async with self._writing:
            if self.live.get(held.attempt.id) is not held:
                return
            await self._stored(self.store.record, attempts=[leaving])
            self.live.put(replace(held, attempt=leaving))

    async def cancel_queued(self, jobs: Sequence[Job]) -> None:
        """Ends queued jobs whose cancellation was asked for."""
        now = self.clock.now_ns()
        ended = [replace(job, state=JobState.CANCELLED, ended_ns=now, reason="cancelled while queued") for job in jobs]
        changes = [_change(old, new, now) for old, new in zip(jobs, ended, strict=True)]
        async with self._writing:
            mine = await self._stored(self.store.decide, jobs=ended, changes=changes)
        happened = [each for each in zip(ended, changes, strict=True) if each[0].id in mine]
        if happened:
            self._announce(_event(job, change, None) for job, change in happened)

    async def goes_on(self, attempt_id: str) -> bool:
        """Whether the store has such an attempt, and knows nothing of its end."""
        try:
            return not (await asyncio.to_thread(self.store.attempt, attempt_id)).state.ended
        except UnknownName:
            return False

    def _announce(self, events: Iterable[Event]) -> None:
        self.changes.happened()
        self.events.tell(events)


def _started(job: Job, placement: Placement, now_ns: int) -> tuple[Held, StateChange]:
    attempt = attempt_of(job, placement, now_ns)
    reason = f"attempt {attempt.number} in {attempt.pool}: {placement.reason.removeprefix(f'{attempt.pool}: ')}"
    moved = replace(job, state=JobState.STARTING, attempts=attempt.number, reason=reason)
    held = Held(job=moved, attempt=attempt, quote=placement.chosen, launched=False)
    return held, _change(job, moved, now_ns)


def _failed(job: Job, placement: Placement, now_ns: int) -> tuple[Job, StateChange]:
    moved = replace(job, state=JobState.FAILED, ended_ns=now_ns, reason=placement.reason)
    return moved, _change(job, moved, now_ns)


def _waiting(job: Job, placement: Placement) -> Job | None:
    """A queued job that a budget begins or ceases to hold, with the reason or without."""
    if placement.verdict is not Verdict.WAIT:
        return None
    reason = placement.reason if is_held(placement) else ""
    if reason == job.reason or not (reason or job.reason.startswith(HELD)):
        return None
    return replace(job, reason=reason)


def _change(old: Job, new: Job, now_ns: int) -> StateChange:
    return StateChange(at_ns=now_ns, job_id=new.id, attempt_id=None, old=old.state, new=new.state, reason=new.reason)


def _happened(progress: Progress) -> Iterator[Event]:
    for change in progress.changes:
        yield _event(progress.job, change, progress.attempt)


def _event(job: Job, change: StateChange, attempt: Attempt | None) -> Event:
    what = "attempt" if change.attempt_id else "job"
    pool = attempt.pool if attempt else ""
    return Event(
        kind=f"{what}.{change.new}", at_ns=change.at_ns, reason=change.reason, pool=pool, job=job, attempt=attempt
    )
