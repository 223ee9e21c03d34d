"""Submissions that come at the same time, on both databases: one transaction, and an answer for each of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from threading import Event

import pytest

from broker.model.acting import Act
from broker.model.audit import AuditEntry, AuditFilter
from broker.model.errors import Conflict, InvalidInput, OverBudget, OverQuota, StoreAway
from broker.model.jobs import Job
from broker.model.projects import Waiting
from broker.model.submissions import Entry
from broker.run.service.intake import MOST_JOBS, Intake
from broker.run.store import SqlStore
from broker.testing.executor_watch import PATIENCE_S
from broker.testing.store_values import array, job
from tests.run.test_budgets import REFUSING, reserving


class Gate:
    """The store behind a door: it counts who comes through together, and the first are kept until it is opened."""

    def __init__(self, store: SqlStore) -> None:
        self.groups: list[list[str]] = []
        self._store, self._came, self._open = store, Event(), Event()

    def add_batch(self, entries: Sequence[Entry]) -> tuple[tuple[Job, ...], ...]:
        self.groups.append([entry.jobs[0].id for entry in entries])
        if not self._came.is_set():
            self._came.set()
            assert self._open.wait(PATIENCE_S)
        return self._store.add_batch(entries)

    async def together(self, entries: Sequence[Entry]) -> list[tuple[Job, ...] | BaseException]:
        """What becomes of these, which all come while another one is stored."""
        intake = Intake(self)  # type: ignore[arg-type]
        first = asyncio.create_task(submitted(intake, entry("first")))
        assert await asyncio.to_thread(self._came.wait, PATIENCE_S)
        others = [asyncio.create_task(submitted(intake, each)) for each in entries]
        await asyncio.sleep(0)
        self._open.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def gate(store: SqlStore) -> Gate:
    return Gate(store)


def entry(id: str, document: str = "{}", **more: object) -> Entry:
    return Entry(jobs=(job(id),), document=document, document_hash=f"hash of {document}", **more)  # type: ignore[arg-type]


async def submitted(intake: Intake, wanted: Entry) -> tuple[Job, ...]:
    """As a request does it, that of a user who is called like the job."""
    user = wanted.jobs[0].id
    act = Act(lambda target: replace(AUDITED, user=user, target=target))
    return await intake.add(replace(wanted, act=act))


AUDITED = AuditEntry(at_ns=1, user="", token_id="", action="jobs.submit", target="", origin="socket", outcome="done")


async def test_those_that_come_while_others_are_stored_are_stored_together(gate: Gate, store: SqlStore) -> None:
    entries = [entry(f"j{number}", f"{number}", note="sent so") for number in range(20)]
    assert await gate.together(entries) == [each.jobs for each in entries]
    assert [len(group) for group in gate.groups] == [1, 20]
    assert {store.recorded(f"j{number}").document for number in range(20)} == {f"{number}" for number in range(20)}
    assert [each.reason for each in store.changes("j3")] == ["sent so"]
    written = {(each.user, each.target) for each in store.audit(AuditFilter())}
    assert written == {(name, name) for name in ("first", *(f"j{number}" for number in range(20)))}


async def test_one_that_is_refused_is_refused_alone(gate: Gate, store: SqlStore) -> None:
    full = Waiting(project="default", user="nobody", most=-1)
    wanted = [
        entry("good"),
        entry("first", "another document"),
        entry("dear", reserving=reserving(101, REFUSING)),
        entry("many", room=(full,)),
        replace(entry("lost"), jobs=(job("lost", spec=replace(job("lost").spec, project="nowhere")),)),
        entry("better"),
    ]
    found = await gate.together(wanted)
    assert [type(each) for each in found] == [tuple, Conflict, OverBudget, OverQuota, InvalidInput, tuple]
    assert sum(store.counts().values()) == 3
    assert {each.user for each in store.audit(AuditFilter())} == {"first", "good", "better"}


async def test_the_same_id_twice_finds_the_first(gate: Gate, store: SqlStore) -> None:
    one, same, other = await gate.together([entry("twin"), entry("twin"), entry("other")])
    assert one == same == (store.job("twin"),)
    assert other == (store.job("other"),)


async def test_a_job_and_an_array_of_one_id_are_not_both_taken(gate: Gate, store: SqlStore) -> None:
    """No row of theirs is the same one: the database does not see it."""
    tasks = Entry(jobs=tuple(array("twin", 2)), document="b", document_hash="hash of b")
    one, another = await gate.together([entry("twin", "a"), tasks])
    assert one == (store.job("twin"),)
    assert isinstance(another, Conflict)


async def test_nobody_waits_for_more_than_so_many_jobs_of_others(gate: Gate) -> None:
    long = Entry(jobs=tuple(array("long", MOST_JOBS)), document="{}", document_hash="long")
    assert not any(isinstance(each, BaseException) for each in await gate.together([entry("a"), long, entry("b")]))
    assert gate.groups == [["first"], ["a"], ["long.0"], ["b"]]


async def test_a_store_that_is_away_is_asked_once(store: SqlStore) -> None:
    class Away(Gate):
        def add_batch(self, entries: Sequence[Entry]) -> tuple[tuple[Job, ...], ...]:
            found = super().add_batch(entries)
            if len(self.groups) > 1:
                raise StoreAway("the store is away")
            return found

    away = Away(store)
    found = await away.together([entry("a"), entry("b")])
    assert [type(each) for each in found] == [StoreAway, StoreAway]
    assert len(away.groups) == 2


async def test_who_goes_away_hinders_nobody(store: SqlStore) -> None:
    intake = Intake(store)
    gone, stays = (asyncio.create_task(intake.add(entry(name))) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == (store.job("stays"),)
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_mistake_of_ours_is_told_to_each(store: SqlStore) -> None:
    class Wrong(Gate):
        def add_batch(self, entries: Sequence[Entry]) -> tuple[tuple[Job, ...], ...]:
            super().add_batch(entries)
            return (entries[0].jobs,) if len(self.groups) == 1 else 1 / 0  # type: ignore[return-value]

    found = await Wrong(store).together([entry("a"), entry("b")])
    assert [type(each) for each in found] == [ZeroDivisionError] * 2
