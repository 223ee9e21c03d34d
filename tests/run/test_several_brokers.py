"""Several brokers on one database: each job by exactly one, no pool beyond its room, none lost with its broker."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from broker.decide.budgets import asked
from broker.model.budgets import Action, Budget, Period
from broker.model.errors import Conflict, DaemonError, LeaseLost, OverBudget, Unreachable
from broker.model.jobs import AttemptState, JobState
from broker.model.money import ZERO, Money
from broker.run.attempts import records
from broker.run.money import budgets
from broker.run.service.readiness import Readiness
from broker.run.settings.leases import LeaseTimes
from broker.testing.executor_watch import PATIENCE_S
from tests.decide.placing import offer
from tests.run.several import CPUS, Town, a_pool, crash, until

PATIENT = LeaseTimes(lease_s=60.0, away_s=600.0)  # nobody is taken for gone because the machine is busy


@pytest.fixture
def town(postgresql_url: str, tmp_path: Path) -> Iterator[Town]:
    made = Town(postgresql_url, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("brokers", [2, 3])
async def test_each_job_is_started_once_and_no_pool_beyond_its_room(town: Town, brokers: int) -> None:
    shared, town.times = a_pool("shared"), PATIENT
    all_ = [town.broker(f"b{n}", [a_pool(f"own{n}"), shared], ["shared"]) for n in range(brokers)]
    async with town.running(*all_):
        for number in range(6):
            town.submit(all_[number % brokers], f"j{number}", array=20)
        await until(lambda: all_[0].store.counts()[JobState.SUCCEEDED] == 120)
    store = town.store()
    tasks = [store.recorded(f"j{number}.{task}") for number in range(6) for task in range(20)]
    assert [len(each.attempts) for each in tasks] == [1] * 120
    assert set(town.launches().values()) == {1}
    assert {each.most <= CPUS for each in town.executors.values()} == {True}
    ran = {attempt.pool for each in tasks for attempt in each.attempts}
    assert ran == {"shared", *(f"own{n}" for n in range(brokers))}
    for each in tasks:
        moved = [change.new for change in store.changes(each.job.id) if change.attempt_id is None]
        assert moved in (["starting", "running", "succeeded"], ["starting", "succeeded"])


async def test_what_ran_at_a_broker_that_died_goes_on_at_another_and_is_launched_once(town: Town) -> None:
    town.run_s = None
    first, second = (town.broker(name, [a_pool("shared")], ["shared"]) for name in ("first", "second"))
    task = asyncio.create_task(first.run())
    await first.ready(lambda _: None)
    async with town.running(second):
        town.submit(second, "j", array=CPUS + 1)
        fake = town.executors["shared"]
        await until(lambda: len(fake.running()) == CPUS)
        await until(lambda: {each.state for each in second.store.open_attempts()} == {AttemptState.STARTING})
        await crash(first, task)
        await until(lambda: second.membership.holds("shared"))
        for attempt in fake.running():
            await fake.move(attempt, AttemptState.RUNNING)
            await fake.move(attempt, AttemptState.SUCCEEDED, exit_code=0)
        await until(lambda: bool(fake.running()))
        (last,) = fake.running()
        await fake.move(last, AttemptState.SUCCEEDED, exit_code=0)
        await until(lambda: second.store.counts()[JobState.SUCCEEDED] == CPUS + 1)
    assert set(town.launches().values()) == {1}
    assert [len(second.store.recorded(f"j.{n}").attempts) for n in range(CPUS + 1)] == [1] * (CPUS + 1)


async def test_a_broker_that_was_taken_for_gone_writes_nothing_any_more(town: Town) -> None:
    town.run_s = None
    first, second = (town.broker(name, [a_pool("shared")], ["shared"]) for name in ("first", "second"))
    async with town.running(first):
        town.submit(first, "j")
        await until(lambda: "shared" in town.executors and bool(town.executors["shared"].running()))
        lost = first.membership.member
        first.membership.renew = _never  # type: ignore[method-assign]
        async with town.running(second):
            await until(lambda: second.membership.holds("shared"))
            assert not first.membership.sure
            with pytest.raises(LeaseLost):
                first.store.record(attempts=[first.store.attempt("j-a1")])
            with pytest.raises(LeaseLost):
                first.store.renew(lost, 1.5, {})
            second.store.record(attempts=[second.store.attempt("j-a1")])


async def test_a_broker_that_had_to_begin_anew_is_ready_as_soon_as_it_has(town: Town) -> None:
    town.times = PATIENT
    one = town.broker("one", [a_pool("shared")], ["shared"])
    async with town.running(one):
        await one.ready(lambda _: None)
        for _ in range(2):
            await Readiness(one).check()
            one.register.in_doubt.set()
            await until(lambda: not one.membership.joined)
            with pytest.raises(DaemonError, match="no place among the brokers"):
                await Readiness(one).check()
            await until(lambda: one.membership.joined and one.pools["shared"].executor is not None)
        await Readiness(one).check()


async def test_what_a_pool_has_that_comes_up_is_waited_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.run_s, town.times = None, PATIENT
    one = town.broker("one", [a_pool("shared")], ["shared"])
    async with town.running(one):
        town.submit(one, "j")
        await until(lambda: "shared" in town.executors and bool(town.executors["shared"].running()))
        fake, may_open = town.executors["shared"], asyncio.Event()
        fake.runs["j-a1"].stdout, fake.runs["j-a1"].result = b"hello", b"a result"
        opening = fake.open

        async def open_late() -> None:
            await may_open.wait()
            await opening()

        monkeypatch.setattr(fake, "open", open_late)
        one.register.in_doubt.set()
        await until(lambda: not one.pools["shared"].settled.is_set())
        attempt = one.store.attempt("j-a1")
        reads = [
            asyncio.create_task(one.records.logs(attempt, "stdout", 0, 100)),
            asyncio.create_task(one.records.result(attempt)),
        ]
        await until(lambda: one.pools["shared"].executor is not None)
        assert not any(read.done() for read in reads)
        may_open.set()
        chunk, result = await asyncio.gather(*reads)
        assert (chunk.data, result) == (b"hello", b"a result")  # type: ignore[union-attr]


async def test_what_a_pool_has_that_does_not_come_up_is_not_said_to_be_missing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.run_s, town.times = None, PATIENT
    monkeypatch.setattr(records, "OPENS_WITHIN_S", 0.05)
    one = town.broker("one", [a_pool("shared")], ["shared"])
    async with town.running(one):
        town.submit(one, "j")
        await until(lambda: "shared" in town.executors and bool(town.executors["shared"].running()))
        attempt = one.store.attempt("j-a1")
    other = town.broker("other", [a_pool("shared")], ["shared"])
    for read in (other.records.result(attempt), other.records.logs(attempt, "stdout", 0, 100)):
        with pytest.raises(Unreachable, match="ask again"):
            await read
    asked = await other.records.reply("shared", {"what": "result", "attempt": attempt.id})
    with pytest.raises(Unreachable, match="ask again"):
        records._parted(asked)


async def _never() -> None:
    await asyncio.Event().wait()


async def test_what_ran_on_the_machine_of_a_broker_that_stays_away_is_lost_and_ended_when_it_comes_back(
    town: Town,
) -> None:
    town.run_s, town.times = None, LeaseTimes(lease_s=0.6, away_s=1.0)
    first, second = town.broker("first", [a_pool("own1")]), town.broker("second", [a_pool("own2")])
    task = asyncio.create_task(first.run())
    await first.ready(lambda _: None)
    async with town.running(second):
        town.submit(second, "j", pools_allowed=("own1",))
        await until(lambda: "own1" in town.executors and bool(town.executors["own1"].running()))
        await crash(first, task)
        await until(lambda: second.store.attempt("j-a1").state.ended)
        attempt = second.store.attempt("j-a1")
        assert attempt.state is AttemptState.INTERRUPTED
        assert attempt.reason.startswith("lost: its broker, ")
        assert attempt.reason.endswith(", was gone for 1 s")
        back = town.broker("first", [a_pool("own1")])
        async with town.running(back):
            await until(lambda: ("cancel", "j-a1") in town.executors["own1"].calls)
            await until(lambda: bool(town.launches()["j-a2"]))
    assert town.launches() == {"j-a1": 1, "j-a2": 1}


async def test_budgets_hold_though_two_brokers_begin_jobs_at_once(town: Town) -> None:
    priced = [a_pool(f"own{n}", offers=(offer("1"),)) for n in range(2)]
    limit = Money.of_usd(Decimal("0.05"))
    town.budgets = [Budget(name="all", limit=limit, period=Period.TOTAL, action=Action.HOLD)]
    town.run_s, town.times = None, PATIENT
    brokers = [town.broker(f"b{n}", [priced[n]]) for n in range(2)]
    async with town.running(*brokers):
        for number in range(4):
            town.submit(brokers[number % 2], f"j{number}", array=4, max_duration_s=60.0)
        await until(lambda: bool(town.launches()))
        await asyncio.sleep(3.0)  # each broker has looked at the whole queue more than once
    standing = town.store().standings(asked(town.budgets, 0), brokers[0].clock.now_ns())[0]
    assert ZERO < standing.committed <= limit
    assert len(town.launches()) < 16


async def test_a_budget_holds_though_a_broker_has_not_heard_of_what_another_began(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows of no other, and reads what was left of the budget before."""
    monkeypatch.setattr(budgets, "FRESH_S", 0.0)
    limit = Money.of_usd(Decimal("0.006"))  # of one job: a quarter of a node for a minute at most
    town.budgets = [Budget(name="all", limit=limit, period=Period.TOTAL, action=Action.HOLD)]
    town.run_s, town.times = None, PATIENT
    broker = town.broker("b", [a_pool("own", offers=(offer("1"),))])
    decide, before = broker.store.decide, broker.store.standings(asked(town.budgets, 0), 0, ())
    refused: list[str] = []

    def watched(**news: Any) -> frozenset[str]:
        try:
            return decide(**news)
        except OverBudget as error:
            refused.append(str(error))
            raise

    broker.store.decide = watched  # type: ignore[method-assign]
    broker.store.standings = lambda *_: before  # type: ignore[method-assign]
    async with town.running(broker):
        town.submit(broker, "j0", max_duration_s=60.0)
        await until(lambda: "j0-a1" in town.launches())
        town.submit(broker, "j1", max_duration_s=60.0)
        await until(lambda: len(refused) >= 2)
        assert town.launches() == {"j0-a1": 1}
    assert all("j1: budget all" in said for said in refused)


async def test_an_api_worker_wakes_brokers_and_knows_what_they_know(town: Town) -> None:
    town.run_s, town.times = None, PATIENT
    broker = town.broker("b", [a_pool("own")])
    worker = town.broker("w", [a_pool("own")], drives=False)
    async with town.running(broker, worker):
        await until(lambda: worker.pools["own"].usable)
        worker.store.tell(["", "{", "[1]", '{"kind": "answer"}', '{"kind": "event", "by": "x"}', "null"])
        with worker.events.listen(everywhere=True) as listener:
            town.submit(worker, "j")
            await until(lambda: "j-a1" in town.executors["own"].runs)
            event = await listener.next(PATIENCE_S)
        assert event is not None
        assert (event.kind, event.job and event.job.id) == ("job.starting", "j")
        town.executors["own"].runs["j-a1"].stdout = b"hello\n"
        await town.executors["own"].move("j-a1", AttemptState.RUNNING)
        piece = await worker.records.logs(worker.store.attempt("j-a1"), "stdout", 1, 100)
        assert (piece.data, piece.next_offset, piece.complete) == (b"ello\n", 6, False)
        assert await worker.records.result(worker.store.attempt("j-a1")) is None
        before = worker.store.watermark("own")
        await worker.settle_now()
        assert worker.store.watermark("own") > before
        with pytest.raises(KeyError):
            await worker.records.logs(replace(worker.store.attempt("j-a1"), id="other"), "stdout", 0, 1)
        with pytest.raises(Conflict, match="only answers"):
            worker.request_stop(drain=True)
    assert worker.membership.member.home == ""


async def test_a_second_broker_on_a_file_is_told_to_use_postgresql(tmp_path: Path, sqlite_url: str) -> None:
    town = Town(sqlite_url, tmp_path)
    first, second = town.broker("first", [a_pool("own")]), town.broker("second", [a_pool("own")])
    async with town.running(first):
        with pytest.raises(Conflict, match=r"SQLite file serves one.*PostgreSQL"):
            await second.run()
    async with town.running(second):
        assert second.membership.holds("own")
    town.close()
