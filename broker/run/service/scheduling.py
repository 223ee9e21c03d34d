"""Schedules as people ask about them: made, shown with their next times, paused, fired now, removed."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from broker.decide.schedules import by_hand, cron_of, upcoming
from broker.model.errors import Forbidden, InvalidInput, Problem
from broker.model.schedules import CatchUp, Concurrency, Firing, Schedule
from broker.run.broker import Broker
from broker.run.service.scheduler import Scheduler
from broker.run.service.submissions import Submissions
from broker.run.store.scheduling import no_schedule
from broker.run.zones import zone_of
from broker.spec.build import dump
from broker.spec.schedule import ScheduleChange, SchedulePart

NEXT: Final = 5  # times that are shown
LAST: Final = 20  # firings that are shown
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}")
_LONGEST_JITTER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStanding:
    """A schedule, when it fires next, and what became of its last firings."""

    schedule: Schedule
    next_ns: tuple[int, ...]  # jitter included; none while it is paused
    last: tuple[Firing, ...]  # newest first


class Scheduling:
    """Reads and changes schedules. `only_of` is who may change theirs alone; None: anybody's."""

    def __init__(self, broker: Broker, submissions: Submissions, scheduler: Scheduler) -> None:
        self._store, self._clock = broker.store, broker.clock
        self._submissions, self._scheduler = submissions, scheduler

    async def create(self, name: str, wish: SchedulePart, user: str) -> ScheduleStanding:
        """Makes a schedule. Raises `Conflict` for a name that is taken, `InvalidInput` for what can't be."""
        if not _NAME.fullmatch(name):
            message = f"must be 1 to 24 of a-z, 0-9, and inside also '_' and '-', not {name[:40]!r}"
            raise InvalidInput(Problem(field="name", message=message))
        schedule = await self._made(name, wish, user, await self._document(name, wish, user))
        await asyncio.to_thread(self._store.add_schedule, schedule)
        self._scheduler.wake.set()
        return await self._standing(schedule)

    async def every(self, projects: frozenset[str] | None = None) -> tuple[ScheduleStanding, ...]:
        """All of them by name, or those of some projects."""
        return await asyncio.to_thread(self._every, projects)

    def _every(self, projects: frozenset[str] | None) -> tuple[ScheduleStanding, ...]:
        seen = [each for each in self._store.schedules() if projects is None or each.project in projects]
        last = self._store.last_firings() if seen else {}
        return tuple(self._shown(each, (last[each.id],) if each.id in last else ()) for each in seen)

    async def one(self, name: str, projects: frozenset[str] | None = None) -> ScheduleStanding:
        """One of them, or of those of some projects. Raises `UnknownName`."""
        found = await asyncio.to_thread(self._store.schedule, name)
        if projects is not None and found.project not in projects:
            raise no_schedule(name)
        return await self._standing(found)

    async def change(self, name: str, change: ScheduleChange, only_of: str | None) -> ScheduleStanding:
        """Makes it another, under its name, with its history and its owner. Raises as `create`.

        New times, and a schedule that goes on, count from now: what would have fired before is not made up for.
        """
        found = await self._owned(name, only_of)
        wish = change.of(_wish(found))
        document = found.document if change.job is None else await self._document(name, wish, found.user)
        made = await self._made(name, wish, found.user, document)
        same_times = (made.cron, made.timezone, made.paused) == (found.cron, found.timezone, found.paused)
        decided_ns = found.decided_ns if same_times else made.decided_ns
        changed = replace(made, id=found.id, created_ns=found.created_ns, decided_ns=decided_ns)
        await asyncio.to_thread(self._store.change_schedule, changed)
        self._scheduler.wake.set()
        return await self.one(name)

    async def pause(self, name: str, only_of: str | None, *, paused: bool) -> ScheduleStanding:
        """Pauses it, or lets it go on from now: what would have fired meanwhile is not made up for."""
        found = await self._owned(name, only_of)
        if found.paused != paused:
            changed = replace(found, paused=paused, decided_ns=self._clock.now_ns())
            await asyncio.to_thread(self._store.change_schedule, changed)
            self._scheduler.wake.set()
        return await self.one(name)

    async def run_now(self, name: str, only_of: str | None) -> Firing:
        """Fires now, whatever else runs, paused or not; what became of it."""
        found = await self._owned(name, only_of)
        return await self._scheduler.fire(found, by_hand(found, self._clock.now_ns()))

    async def remove(self, name: str, only_of: str | None) -> None:
        """Removes it with the history of its firings; its jobs stay, and go on."""
        await self._owned(name, only_of)
        await asyncio.to_thread(self._store.drop_schedule, name)

    async def _owned(self, name: str, only_of: str | None) -> Schedule:
        found = await asyncio.to_thread(self._store.schedule, name)
        if only_of not in (None, found.user):
            message = f"the schedule {name!r} is {found.user}'s: only {found.user}, or a token with the scope `admin`,"
            raise Forbidden(f"{message} may do this")
        return found

    async def _standing(self, schedule: Schedule) -> ScheduleStanding:
        return self._shown(schedule, await asyncio.to_thread(self._store.firings, schedule.id, LAST))

    def _shown(self, schedule: Schedule, firings: tuple[Firing, ...]) -> ScheduleStanding:
        times = upcoming(schedule, zone_of(schedule.timezone), self._clock.now_ns(), NEXT)
        return ScheduleStanding(schedule=schedule, next_ns=times, last=firings)

    async def _made(self, name: str, wish: SchedulePart, user: str, document: str) -> Schedule:
        now_ns = self._clock.now_ns()
        zone_of(wish.timezone)
        try:
            cron = cron_of(wish.cron, now_ns)
        except ValueError as error:
            raise InvalidInput(Problem(field="cron", message=str(error))) from error
        if wish.jitter > _LONGEST_JITTER_S:
            raise InvalidInput(Problem(field="jitter", message="is more than a day"))
        return Schedule(
            id=secrets.token_hex(3),
            name=name,
            user=user,
            cron=cron,
            timezone=wish.timezone,
            document=document,
            concurrency=Concurrency(wish.concurrency),
            catch_up=CatchUp(wish.catch_up),
            starting_deadline_s=wish.starting_deadline,
            jitter_s=wish.jitter,
            paused=wish.paused,
            created_ns=now_ns,
            decided_ns=now_ns,
        )

    async def _document(self, name: str, wish: SchedulePart, user: str) -> str:
        """The job as it is kept; all that a submission refuses is refused here already."""
        document = (await self._submissions.check(wish.job, user)).document
        if document.id is not None:
            raise InvalidInput(Problem(field="job.id", message="each firing has an id of its own: leave it out"))
        if document.deadline is not None and not document.deadline.startswith("+"):
            raise InvalidInput(Problem(field="job.deadline", message="would pass: write +6h, from each submission on"))
        return dump(document.model_copy(update={"name": document.name or name}))


def _wish(schedule: Schedule) -> dict[str, Any]:
    """A schedule as it would be wished for."""
    return {
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "concurrency": schedule.concurrency.value,
        "catch_up": schedule.catch_up.value,
        "starting_deadline": schedule.starting_deadline_s,
        "jitter": schedule.jitter_s,
        "paused": schedule.paused,
        "job": json.loads(schedule.document),
    }
