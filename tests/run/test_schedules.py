"""Schedules on both databases: each firing is submitted once, whoever dies, and however many brokers there are."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker.model.errors import Conflict, StoreError, UnknownName
from broker.model.jobs import JobState
from broker.model.money import NS_PER_S
from broker.model.query import JobFilter
from broker.model.schedules import Concurrency, Firing, FiringState, Schedule
from broker.ports import Store
from broker.run.service import Service
from broker.run.store import open_store
from broker.run.store.scheduling import KEPT
from broker.run.telling.events import Event
from broker.spec.schedule import SchedulePart
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.fakes import FakeClock
from tests.run.scheduling import JOB, broker_of

START_NS = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp()) * NS_PER_S
MINUTE_S = 60


class House:
    """A broker of which only what is asked of it runs."""

    def __init__(self, store: Store, folder: Path, clock: FakeClock) -> None:
        self.store, self.clock = store, clock
        self.broker = broker_of(store, folder, clock)
        self.service = Service(self.broker, user="mia")
        self.told: list[Event] = []
        self.broker.events.call(self.told.append)

    def made(self, **changes: Any) -> Schedule:
        values: dict[str, Any] = {"id": "c0ffee", "name": "often", "user": "mia", "cron": "* * * * *"}
        values |= {"timezone": "UTC", "document": JOB, "created_ns": START_NS, "decided_ns": START_NS}
        schedule = Schedule(**values | changes)
        self.store.add_schedule(schedule)
        return schedule

    def after(self, seconds: float) -> list[str]:
        """What became of firings by then, oldest first."""
        self.clock.advance(seconds)
        asyncio.run(self.service.scheduler.step())
        return self.states()

    def states(self) -> list[str]:
        return [firing.state.value for firing in reversed(self.store.firings("c0ffee", 100))]

    def jobs(self) -> list[str]:
        return [job.id for job in reversed(self.store.jobs(JobFilter()).jobs)]


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    return House(store, tmp_path, FakeClock(START_NS))


@pytest.fixture
def other(url: str, store: Store, tmp_path: Path, house: House) -> Iterator[House]:
    """Another broker at the same database."""
    with closing(open_store(url)) as mine:
        yield House(mine, tmp_path / "other", house.clock)


def test_a_firing_submits_the_job_of_its_owner_with_its_time_and_the_schedule_s_tag(house: House) -> None:
    house.made(user="eve")
    assert house.after(MINUTE_S) == ["submitted"]
    (job,) = house.store.jobs(JobFilter(tags={"schedule": "often"})).jobs
    assert job.id == "often-20261126t0001-c0ffee"
    assert (job.user, job.spec.envs) == ("eve", {"SCHEDULED_AT": "2026-11-26T00:01:00+00:00"})
    assert [(event.kind, event.schedule) for event in house.told] == [("schedule.submitted", "often")]
    assert house.after(1) == ["submitted"]


def test_it_sleeps_until_the_next_firing(house: House) -> None:
    house.made(cron="0 2 * * *")
    assert asyncio.run(house.service.scheduler.step()) == START_NS + 2 * 3_600 * NS_PER_S
    house.store.change_schedule(replace(house.store.schedule("often"), paused=True))
    assert asyncio.run(house.service.scheduler.step()) is None


def test_what_falls_due_while_it_submits_is_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.made()
    house.clock.advance(MINUTE_S - 1)
    due_firings = house.store.due_firings

    def slow() -> tuple[Firing, ...]:
        house.clock.advance(2)
        return due_firings()

    monkeypatch.setattr(house.store, "due_firings", slow)
    assert asyncio.run(house.service.scheduler.step()) == START_NS + MINUTE_S * NS_PER_S


async def test_a_schedule_that_is_made_while_it_sleeps_wakes_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being woken it would not look again in an hour."""
    monkeypatch.setattr("broker.run.service.scheduler.LOOK_AGAIN_S", 3_600.0)
    looked = asyncio.Event()
    step = house.service.scheduler.step

    async def stepped() -> int | None:
        next_ns = await step()
        looked.set()
        return next_ns

    monkeypatch.setattr(house.service.scheduler, "step", stepped)
    running = asyncio.create_task(house.service.scheduler.run())
    async with asyncio.timeout(PATIENCE_S):
        await looked.wait()
        house.made()
        house.clock.advance(MINUTE_S)
        await house.service.schedules.create("other", SchedulePart(cron="0 2 * * *", job={"run": "true"}), "mia")
        while not house.told:
            await asyncio.sleep(0.01)
    running.cancel()
    assert house.told[0].kind == "schedule.submitted"


def test_after_a_time_away_one_firing_is_made_up_for(house: House) -> None:
    house.made()
    assert house.after(4 * MINUTE_S) == ["missed", "missed", "missed", "submitted"]
    assert len(house.jobs()) == 1
    assert [event.kind for event in house.told] == ["schedule.submitted"]


def test_of_what_nothing_makes_up_for_people_are_told_once(house: House) -> None:
    house.made(starting_deadline_s=10.0)
    assert house.after(4.5 * MINUTE_S) == ["missed"] * 4
    (event,) = house.told
    assert event.kind == "schedule.missed"
    assert event.reason.endswith("30 s late, more than 10 s; so were 3 before it")
    assert house.jobs() == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from broker.run.service import Service
from broker.run.store import open_store
from broker.spec.schedule import SchedulePart
from broker.testing.fakes import FakeClock
from tests.run.scheduling import broker_of

url, folder, now_ns, where = sys.argv[1:]
store = open_store(url)

def die(*given):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(store, where, die)
asyncio.run(Service(broker_of(store, Path(folder), FakeClock(int(now_ns)))).scheduler.step())
"""


@pytest.mark.parametrize(("where", "jobs"), [("keep_firings", 0), ("add_batch", 0), ("end_firing", 1)])
def test_killed_anywhere_a_firing_is_submitted_once(
    url: str, house: House, tmp_path: Path, where: str, jobs: int
) -> None:
    """Before it is decided on, before its job is stored, and between that and the note that it is."""
    house.made()
    now_ns = START_NS + MINUTE_S * NS_PER_S
    words = [sys.executable, "-c", KILLED, url, str(tmp_path / "killed"), str(now_ns), where]
    died = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(house.jobs()) == jobs
    assert house.after(MINUTE_S + 5) == ["submitted"]
    assert house.jobs() == ["often-20261126t0001-c0ffee"]
    assert house.after(1) == ["submitted"]


async def test_of_two_brokers_that_look_at_once_one_job_comes(house: House, other: House) -> None:
    for number in range(10):
        house.made(id=f"{number:06x}", name=f"often-{number}")
    house.clock.advance(MINUTE_S)
    await asyncio.gather(*(each.service.scheduler.step() for each in (house, other) for _ in range(2)))
    assert len(house.jobs()) == 10
    assert len(house.told + other.told) == 10


def test_an_earlier_job_is_waited_for_where_that_is_wanted(house: House) -> None:
    house.made(concurrency=Concurrency.FORBID)
    assert house.after(MINUTE_S) == ["submitted"]
    assert house.after(MINUTE_S) == ["submitted", "skipped"]
    assert house.told[-1].reason == "often-20261126t0001-c0ffee has not ended"
    first = house.store.job(house.jobs()[0])
    house.store.record(jobs=[replace(first, state=JobState.CANCELLED)])
    assert house.after(MINUTE_S) == ["submitted", "skipped", "submitted"]


def test_an_earlier_job_is_cancelled_where_that_is_wanted_once_the_new_one_is_there(house: House) -> None:
    house.made(concurrency=Concurrency.REPLACE, document=JOB.replace("{", '{"array": 2, ', 1))
    house.after(MINUTE_S)
    assert house.after(MINUTE_S) == ["submitted", "submitted"]
    wanted = {job.id: job.cancel_requested for job in house.store.jobs(JobFilter()).jobs}
    first, second = "often-20261126t0001-c0ffee", "often-20261126t0002-c0ffee"
    assert wanted == {f"{first}.0": True, f"{first}.1": True, f"{second}.0": False, f"{second}.1": False}


def test_a_job_that_is_refused_is_a_refused_firing_with_the_reason_and_is_told(house: House) -> None:
    house.made(document=JOB.replace("{", '{"resources": {"accelerators": "T4"}, ', 1))
    assert house.after(MINUTE_S) == ["refused"]
    (event,) = house.told
    assert event.kind == "schedule.refused"
    assert "no pool can ever run this job" in event.reason
    assert house.jobs() == []


def test_an_id_that_somebody_else_took_is_no_job_of_the_schedule(house: House) -> None:
    house.made()
    fields = {"run": "true", "id": "often-20261126t0001-c0ffee"}
    asyncio.run(house.service.submissions.submit(fields, "eve"))
    assert house.after(MINUTE_S) == ["refused"]
    assert "eve" in house.told[0].reason


def test_a_mistake_of_ours_ends_no_other_schedule(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.made()
    monkeypatch.setattr(house.service.submissions, "_check", None)
    assert house.after(MINUTE_S) == ["refused"]
    assert "its log says why" in house.told[0].reason


def test_while_the_store_fails_a_firing_stays_due(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.made()

    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "add_batch", fail)
        with pytest.raises(StoreError):
            house.after(MINUTE_S)
    assert house.states() == ["due"]
    assert house.after(0) == ["submitted"]


def test_schedules_are_kept_changed_and_removed_with_their_firings(house: House) -> None:
    made = house.made(starting_deadline_s=2.5, jitter_s=3.0)
    with pytest.raises(Conflict, match="often"):
        house.made(id="decade")
    house.after(2 * MINUTE_S)
    changed = replace(made, paused=True, cron="0 2 * * *", decided_ns=START_NS + 1)
    house.store.change_schedule(changed)
    decided_ns = START_NS + 60 * NS_PER_S
    assert house.store.schedules() == (replace(changed, decided_ns=decided_ns),)
    house.store.drop_schedule("often")
    assert house.store.schedules() == house.store.firings("c0ffee", 10) == ()
    for ask in (house.store.schedule, house.store.drop_schedule):
        with pytest.raises(UnknownName, match="schedule list"):
            ask("often")
    with pytest.raises(UnknownName, match="schedule list"):
        house.store.change_schedule(changed)


def test_all_are_listed_with_their_last_firings_by_as_many_questions_as_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.made()
    house.after(3 * MINUTE_S)
    read, reads = house.store._read, []  # type: ignore[attr-defined]
    monkeypatch.setattr(house.store, "_read", lambda: reads.append("one") or read())
    numbers = []
    for made in ([], [f"more-{n}" for n in range(5)]):
        for name in made:
            house.made(id=name, name=name, cron="0 0 1 1 *")
        reads.clear()
        listed = asyncio.run(house.service.schedules.every())
        numbers.append(len(reads))
    assert numbers[0] == numbers[1] == 2
    assert [(each.schedule.name, len(each.next_ns)) for each in listed][-2:] == [("more-4", 5), ("often", 5)]
    assert listed[-1].last == house.store.firings("c0ffee", 1)
    assert not any(each.last for each in listed[:-1])


def test_of_many_firings_the_last_ones_are_kept(house: House) -> None:
    from broker.decide.schedules import by_hand

    made = house.made()
    firings = [replace(by_hand(made, START_NS + n), state=FiringState.SKIPPED) for n in range(KEPT + 50)]
    house.store.keep_firings(made.id, firings, START_NS)
    assert house.store.keep_firings(made.id, firings[-3:], START_NS) == ()
    kept = house.store.firings(made.id, 2 * KEPT)
    assert [firing.at_ns for firing in kept] == [firing.at_ns for firing in firings[: -KEPT - 1 : -1]]


def test_a_function_that_a_schedule_submits_is_kept(house: House) -> None:
    """Nobody asks for its payload between two firings, and payloads that nobody asks for are dropped."""
    blob, inputs = "a" * 64, "b" * 64
    call = f'{{"blob": "{blob}", "name": "f", "python": "3.11", "inputs": "{inputs}"}}'
    house.made(document=f'{{"format": 1, "function": {call}}}')
    house.store.put_blob(blob, b"", START_NS)
    assert house.store.blobs_in_use() == {blob, inputs}
    assert house.store.drop_blobs(START_NS + 1, house.store.blobs_in_use()) == 0
    house.store.drop_schedule("often")
    assert house.store.drop_blobs(START_NS + 1, house.store.blobs_in_use()) == 1
