"""A schedule and the time → which firings are due, and which are skipped or missed; when the next ones are.

The expression's fields are of the wall clock of the schedule's zone. Where clocks go forward, what would fall into the
hour that is not there fires once, right after it; where they go back, a fixed time fires once, in the first of the two
hours. An expression whose minutes or hours begin with `*` fires in both of them, and not in the hour that is not there.
So does Debian's cron.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from typing import Final

from cronsim import CronSim, CronSimError

from broker.model.money import NS_PER_S
from broker.model.schedules import CatchUp, Concurrency, Firing, FiringState, Schedule

KEPT: Final = 100  # firings of one look that are decided on one by one; of a longer time away, the last ones
NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = 5
_FIRST_LOOK_S: Final = 3_600.0


def cron_of(text: str, now_ns: int) -> str:
    """The expression in five fields. Raises ValueError for one that is none, or that never comes true."""
    cron = NAMED.get(text.strip().lower(), " ".join(text.split()))
    if len(cron.split()) != _FIELDS:
        raise ValueError(f"must be five fields (minute hour day month weekday) or one of {', '.join(NAMED)}")
    try:
        next(CronSim(cron, _moment(now_ns, UTC)))
    except CronSimError as error:
        raise ValueError(f"{cron!r} is no cron expression: {str(error)[:1].lower()}{str(error)[1:]}") from error
    except StopIteration:
        raise ValueError(f"{cron!r} never comes true: there is no such day") from None
    return cron


def in_words(cron: str) -> str:
    """What an expression says."""
    return CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)).explain()


def upcoming(schedule: Schedule, zone: tzinfo, after_ns: int, number: int) -> tuple[int, ...]:
    """When the next firings are to be submitted, jitter included; none while it is paused."""
    return tuple(islice(_upcoming(schedule, zone, after_ns), number))


def upcoming_until(schedule: Schedule, zone: tzinfo, after_ns: int, until_ns: int, most: int) -> tuple[int, ...]:
    """Those of them before a time, and no more than so many."""
    return tuple(islice(takewhile(lambda at_ns: at_ns < until_ns, _upcoming(schedule, zone, after_ns)), most))


def _upcoming(schedule: Schedule, zone: tzinfo, after_ns: int) -> Iterator[int]:
    if schedule.paused:
        return
    late_ns = lateness_ns(schedule)
    for at_ns in _after(schedule.cron, zone, max(after_ns - late_ns, schedule.decided_ns)):
        yield at_ns + late_ns


def lateness_ns(schedule: Schedule) -> int:
    """How much later than the expression says this schedule fires: a part of its jitter, always the same."""
    share = int.from_bytes(hashlib.sha256(schedule.id.encode()).digest()[:8]) / 2**64
    return int(schedule.jitter_s * share) * NS_PER_S


def due(schedule: Schedule, zone: tzinfo, now_ns: int, active: Sequence[str]) -> tuple[Firing, ...]:
    """The firings since the last look, oldest first, and what is to become of each.

    `active` are jobs of earlier firings that have not ended.
    """
    if schedule.paused:
        return ()
    times = _latest(schedule, zone, now_ns - lateness_ns(schedule))
    found: list[Firing] = []
    running = list(active)
    for at_ns in times:
        reason = _why_missed(schedule, at_ns, now_ns, last=at_ns == times[-1])
        state = FiringState.MISSED if reason else FiringState.DUE
        if not reason and running and schedule.concurrency is Concurrency.FORBID:
            state, reason = FiringState.SKIPPED, f"{running[-1]} has not ended"
        firing = _firing(schedule, at_ns, now_ns, state, reason)
        if state is FiringState.DUE:
            running.append(firing.job_id)
        found.append(firing)
    return tuple(found)


def by_hand(schedule: Schedule, now_ns: int) -> Firing:
    """A firing that somebody asks for now: whatever else runs, and while it is paused."""
    return replace(_firing(schedule, now_ns, now_ns, FiringState.DUE, ""), by_hand=True)


def too_late(schedule: Schedule, firing: Firing, now_ns: int) -> str:
    """Why a firing that was decided on may not be submitted any more; empty where it may."""
    return "" if firing.by_hand else _past_deadline(schedule, firing.at_ns, now_ns)


def _firing(schedule: Schedule, at_ns: int, now_ns: int, state: FiringState, reason: str) -> Firing:
    job_id = schedule.job_id(at_ns)
    return Firing(schedule=schedule.id, at_ns=at_ns, state=state, job_id=job_id, reason=reason, decided_ns=now_ns)


def _why_missed(schedule: Schedule, at_ns: int, now_ns: int, *, last: bool) -> str:
    if not last and schedule.catch_up is CatchUp.LAST:
        return "no broker submitted it in time; the last one that was missed makes up for it"
    return _past_deadline(schedule, at_ns, now_ns)


def _past_deadline(schedule: Schedule, at_ns: int, now_ns: int) -> str:
    late_s = (now_ns - at_ns - lateness_ns(schedule)) / NS_PER_S
    if schedule.starting_deadline_s is None or late_s <= schedule.starting_deadline_s:
        return ""
    return f"no broker submitted it in time: {late_s:.0f} s late, more than {schedule.starting_deadline_s:g} s"


def _latest(schedule: Schedule, zone: tzinfo, until_ns: int) -> list[int]:
    """The last firings that are not decided on, up to a time; a long time away is not gone through from its start."""
    window_ns = round(_FIRST_LOOK_S * NS_PER_S)
    while True:
        begin_ns = max(schedule.decided_ns, until_ns - window_ns)
        found = []
        for at_ns in _after(schedule.cron, zone, begin_ns):
            if at_ns > until_ns:
                break
            found.append(at_ns)
        if begin_ns == schedule.decided_ns or len(found) >= KEPT:
            return found[-KEPT:]
        window_ns *= 2


def _after(cron: str, zone: tzinfo, after_ns: int) -> Iterator[int]:
    """The times of an expression after a moment, each once.

    In an hour that is there twice, the library begins anew with its first: what it says of that is left out.
    """
    for moment in CronSim(cron, _moment(after_ns, zone)):
        at_ns = int(moment.timestamp()) * NS_PER_S
        if at_ns > after_ns:
            yield at_ns


def _moment(ns: int, zone: tzinfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // NS_PER_S)).astimezone(zone)
