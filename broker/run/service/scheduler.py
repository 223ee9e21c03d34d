"""Firing: schedules whose time has come → jobs, each submitted exactly once.

What is to become of a firing is stored first, under its schedule and time, so that of several brokers one decides. Then
its job is submitted under an id made of the two: after a broker that died anywhere in between, and beside another that
submits at once, the job is found that is there already.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from broker.decide.schedules import due, too_late, upcoming
from broker.model.errors import BrokerError, StoreError, UnknownName
from broker.model.money import NS_PER_S
from broker.model.schedules import CatchUp, Concurrency, Firing, FiringState, Schedule
from broker.run.broker import Broker
from broker.run.service.owned import owned
from broker.run.service.submissions import Submissions
from broker.run.telling.events import Event
from broker.run.zones import zone_of
from broker.spec.document import SCHEDULE

log = structlog.get_logger()

LOOK_AGAIN_S: Final = (
    15.0  # another broker or API worker may have made a schedule, and the wall clock may have been set
)
AFTER_ERROR_S: Final = 1.0
SCHEDULED_AT: Final = "SCHEDULED_AT"  # the environment variable with the time of the firing


class Scheduler:
    """Fires schedules."""

    def __init__(self, broker: Broker, submissions: Submissions) -> None:
        self._store, self._clock, self._events = broker.store, broker.clock, broker.events
        self._broker = broker
        self._submissions = submissions
        self.wake = asyncio.Event()  # set when a schedule is made or changed

    async def run(self) -> None:
        """Fires until cancelled; what fails is said in the log and tried again."""
        while True:
            self.wake.clear()
            try:
                next_ns = await self.step()
            except BrokerError as error:
                log.error("schedules could not be looked at; it is tried again", error=str(error))
                await asyncio.sleep(AFTER_ERROR_S)
                continue
            pause_s = LOOK_AGAIN_S if next_ns is None else (next_ns - self._clock.now_ns()) / NS_PER_S
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(pause_s, 0.0), LOOK_AGAIN_S)):
                    await self.wake.wait()

    async def step(self) -> int | None:
        """Decides on what is due and submits it. Returns when the next firing is, None where there is none."""
        looked_ns = self._clock.now_ns()  # what falls due while it submits is not to be overlooked
        found = {each.id: each for each in await asyncio.to_thread(self._store.schedules)}
        times: list[int] = []
        for schedule in found.values():
            try:
                await self._decide(schedule)
                times += upcoming(schedule, zone_of(schedule.timezone), looked_ns, 1)
            except BrokerError:
                raise
            except Exception:
                log.exception("a schedule can't be followed; the others are", schedule=schedule.name)
        for firing in await asyncio.to_thread(self._store.due_firings):
            if (mine := found.get(firing.schedule)) is not None:
                await self._submit(mine, firing)
        return min(times, default=None)

    async def fire(self, schedule: Schedule, firing: Firing) -> Firing:
        """Submits a firing that somebody asked for; what became of it."""
        await asyncio.to_thread(self._store.keep_firings, schedule.id, [firing], schedule.decided_ns)
        return await self._submit(schedule, firing)

    async def _decide(self, schedule: Schedule) -> None:
        allows, now_ns = schedule.concurrency is Concurrency.ALLOW, self._clock.now_ns()
        active = () if allows else await asyncio.to_thread(self._store.active_jobs, schedule.id, now_ns)
        decided = due(schedule, zone_of(schedule.timezone), now_ns, active)
        if decided:
            last_ns = decided[-1].at_ns
            new = await asyncio.to_thread(self._store.keep_firings, schedule.id, decided, last_ns)
            self._tell(schedule, _worth_telling(schedule, new))

    async def _submit(self, schedule: Schedule, firing: Firing) -> Firing:
        ended = await self._ended(schedule, firing)
        if ended.state is FiringState.SUBMITTED and schedule.concurrency is Concurrency.REPLACE:
            await self._cancel_earlier(schedule, firing)
        if await asyncio.to_thread(self._store.end_firing, ended):
            self._tell(schedule, [ended])
        return ended

    async def _ended(self, schedule: Schedule, firing: Firing) -> Firing:
        """What became of a firing. Raises `StoreError`: then it is still due."""
        if reason := too_late(schedule, firing, self._clock.now_ns()):
            return replace(firing, state=FiringState.MISSED, reason=reason)
        try:
            if not await self._is_there(schedule, firing):
                await self._submissions.submit(_fields(schedule, firing), schedule.user, firing.job_id)
        except StoreError:
            raise
        except BrokerError as error:
            return replace(firing, state=FiringState.REFUSED, reason=str(error))
        except Exception:
            # It would be the end of all other schedules, and at every start again.
            log.exception("a firing failed", schedule=schedule.name, job=firing.job_id)
            return replace(firing, state=FiringState.REFUSED, reason="the broker failed at it; its log says why")
        return replace(firing, state=FiringState.SUBMITTED)

    async def _is_there(self, schedule: Schedule, firing: Firing) -> bool:
        """Whether its job was submitted before. Raises `Forbidden` when the id is somebody else's job."""
        try:
            await asyncio.to_thread(owned, self._store, firing.job_id, schedule.user)
        except UnknownName:
            return False
        return True

    async def _cancel_earlier(self, schedule: Schedule, firing: Firing) -> None:
        """Ends what firings before submitted."""
        for job_id in await asyncio.to_thread(self._store.active_jobs, schedule.id, firing.at_ns):
            with suppress(UnknownName):  # decided on, and not submitted
                await asyncio.to_thread(self._store.request_cancel, [job_id])
        self._broker.wake()

    def _tell(self, schedule: Schedule, firings: Iterable[Firing]) -> None:
        self._events.tell([_event(schedule, firing, self._clock.now_ns()) for firing in firings])


def _worth_telling(schedule: Schedule, new: Sequence[Firing]) -> list[Firing]:
    """What was skipped; and of what was missed one for all, where nothing makes up for it."""
    skipped = [each for each in new if each.state is FiringState.SKIPPED]
    missed = [each for each in new if each.state is FiringState.MISSED]
    if not missed or (schedule.catch_up is CatchUp.LAST and new[-1].state is not FiringState.MISSED):
        return skipped
    before = f"; so were {len(missed) - 1} before it" if len(missed) > 1 else ""
    return [*skipped, replace(missed[-1], reason=missed[-1].reason + before)]


def _event(schedule: Schedule, firing: Firing, now_ns: int) -> Event:
    reason = firing.reason or f"{firing.job_id} submitted"
    return Event(
        kind=f"schedule.{firing.state}",
        at_ns=now_ns,
        reason=reason,
        schedule=schedule.name,
        project=schedule.project,
    )


def _fields(schedule: Schedule, firing: Firing) -> dict[str, Any]:
    """The job of a firing. It finds when it should have begun in its environment: what day it is to work on."""
    fields: dict[str, Any] = json.loads(schedule.document)
    fields.pop("format", None)
    at = datetime.fromtimestamp(firing.at_ns // NS_PER_S, UTC).isoformat()
    taken = {*fields.get("envs", {}), *fields.get("secrets", ()), *fields.get("matrix", {})}
    if SCHEDULED_AT not in taken:
        fields["envs"] = {**fields.get("envs", {}), SCHEDULED_AT: at}
    return {**fields, "tags": {**fields.get("tags", {}), SCHEDULE: schedule.name}}
