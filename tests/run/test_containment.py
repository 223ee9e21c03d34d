"""One job, pool or part of the broker that fails, and a store that can't be used for a while: all others go on."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from threading import Semaphore
from typing import Any

import pytest
import structlog
from sqlalchemy import event

import broker.run.attempts.dispatch as dispatching
import broker.run.attempts.follow as following
from broker.decide.policy import dispatch as decide
from broker.model.errors import DaemonError, StoreAway, Unreadable
from broker.model.jobs import AttemptReport, AttemptState, JobState
from broker.model.query import JobFilter
from broker.ports import Executor, ExecutorContext
from broker.run import failures
from broker.run.attempts import aside, retire
from broker.run.failures import Failures
from broker.run.members.membership import Membership
from broker.run.money.budgets import Budgets
from broker.run.service.readiness import Readiness
from broker.run.store import open_store, transactions
from tests.run.world import PATIENCE_S, World, finish

LARGE = 100_000  # bytes, for which a file has to grow
Trouble = Callable[[World], Callable[[], None]]  # makes it, and returns what ends it


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """The log, line by line."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def set_on_each_connection(world: World, pragma: list[str]) -> None:
    """Sets a pragma whenever the store takes a connection; who has the list may change it."""
    engine = world.store._engine  # type: ignore[attr-defined]
    event.listen(engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA {pragma[0]}"))


def locked(world: World) -> Callable[[], None]:
    set_on_each_connection(world, ["busy_timeout=20"])
    other = sqlite3.connect(world.folder / "broker.db", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def full(world: World) -> Callable[[], None]:
    set_on_each_connection(world, pragma := ["max_page_count=1"])  # no page more than there are
    return lambda: pragma.__setitem__(0, "max_page_count=1073741823")


def read_only(world: World) -> Callable[[], None]:
    set_on_each_connection(world, pragma := ["query_only=1"])
    return lambda: pragma.__setitem__(0, "query_only=0")


@pytest.mark.parametrize("trouble", [locked, full, read_only])
async def test_a_store_that_can_t_be_written_for_a_while_is_waited_for(world: World, trouble: Trouble) -> None:
    async with world.running() as broker:
        world.submit(broker, "before")
        fake = await world.running_attempt("before-a1")
        over = trouble(world)
        with pytest.raises(StoreAway):
            await asyncio.to_thread(world.store.put_blob, "cd", b"x" * LARGE, 0)
        await fake.move("before-a1", AttemptState.RUNNING)
        await fake.move("before-a1", AttemptState.SUCCEEDED, exit_code=0, reason="x" * LARGE)
        await world.until(lambda: ("close", "False") in fake.calls)  # the session has ended in doubt
        assert not world.state("before").ended
        over()
        await world.until(lambda: world.state("before") is JobState.SUCCEEDED)
        world.submit(broker, "after")
        await finish(world, "after-a1")
        await world.until(lambda: world.state("after") is JobState.SUCCEEDED)
    for job_id in ("before", "after"):
        assert [each.state for each in world.store.recorded(job_id).attempts] == [AttemptState.SUCCEEDED]
    assert set(world.launches()) == {"before-a1", "after-a1"}


async def test_who_waits_behind_a_writer_that_found_the_file_locked_waits_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = locked(world)
    in_line, begun = Semaphore(0), []

    def asked() -> float:
        in_line.release()
        return time.monotonic()

    def begin(*_: Any) -> None:
        begun.append("once")
        for _ in range(4):
            assert in_line.acquire(timeout=PATIENCE_S)

    monkeypatch.setattr(transactions, "monotonic", asked)
    event.listen(world.store._engine, "checkout", begin)  # type: ignore[attr-defined]
    writing = [asyncio.to_thread(world.store.put_blob, str(number), b"x", 0) for number in range(4)]
    written = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(each) for each in written] == [StoreAway] * 4
    assert len(begun) == 1
    over()


async def test_a_job_that_can_t_be_decided_about_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    """It says so itself, stays queued, and runs once what was wrong is right."""
    wrong = ["odd"]

    def fails(queued, *rest, **more):  # type: ignore[no-untyped-def]
        if any(job.id in wrong for job in queued):
            raise ValueError("its array has no end")
        return decide(queued, *rest, **more)

    monkeypatch.setattr(dispatching, "dispatch", fails)
    monkeypatch.setattr(aside, "FIRST_S", 0.2)
    async with world.running() as broker:
        for job_id in ("first", "odd", "last"):
            world.submit(broker, job_id)
        for job_id in ("first", "last"):
            await finish(world, f"{job_id}-a1")
        await world.until(lambda: world.state("first").ended and world.state("last").ended)
        await world.until(lambda: bool(world.store.job("odd").reason))
        assert world.state("odd") is JobState.QUEUED
        said = (
            "held by a mistake in the decision about it (ValueError: its array has no end); the broker's log says where"
        )
        assert world.store.job("odd").reason.startswith(said)
        assert broker.failures.problem is None
        wrong.clear()
        await world.until(lambda: broker.wake() or "odd-a1" in world.launches())  # type: ignore[func-returns-value]
        assert world.store.job("odd").reason.startswith("attempt 1 in one")
    assert sorted(world.launches()) == ["first-a1", "last-a1", "odd-a1"]


async def test_where_no_job_is_to_blame_all_wait_and_readiness_says_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0

    def fails(*_: Any, **__: Any) -> None:
        nonlocal rounds
        rounds += 1
        raise ValueError("no number")

    async with world.running() as broker:
        await broker.ready(lambda _: None)
        with monkeypatch.context() as patch:
            patch.setattr(dispatching, "dispatch", fails)
            world.submit(broker, "a")
            world.submit(broker, "b")
            await world.until(lambda: broker.failures.problem is not None)
            assert (broker.failures.problem or "").startswith("dispatching has failed 2 times in a row (ValueError(")
            with pytest.raises(DaemonError, match="dispatching has failed"):
                await Readiness(broker).check()
        assert rounds <= 2 * broker.failures.count["dispatching"] + 2, "it pauses, and tries no job alone"
        assert not world.store.job("a").reason
        for job_id in ("a", "b"):
            await finish(world, f"{job_id}-a1")
        await world.until(lambda: world.state("a").ended and world.state("b").ended)
        await world.until(lambda: broker.failures.problem is None)  # its round may end after theirs
    assert sorted(world.launches()) == ["a-a1", "b-a1"]


async def test_what_can_t_be_stored_of_one_decision_keeps_no_other_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(queued, *rest, **more):  # type: ignore[no-untyped-def]
        made = decide(queued, *rest, **more)
        return tuple(replace(each, reason="\ud800") if each.job_id == "odd" else each for each in made)

    monkeypatch.setattr(dispatching, "dispatch", odd)
    async with world.running() as broker:
        for job_id in ("odd", "fine"):
            world.submit(broker, job_id)
        await finish(world, "fine-a1")
        await world.until(lambda: world.state("fine").ended)
    assert world.state("odd") is JobState.QUEUED
    assert world.launches() == ["fine-a1"]


async def test_a_job_whose_description_can_t_be_read_holds_up_nobody(world: World) -> None:
    world.store.close()
    broker = world.broker()
    for job_id in ("odd", "fine"):
        world.submit(broker, job_id, run=f"echo {job_id}")
    changed(world, "UPDATE specs SET body = '{}' WHERE body LIKE '%echo odd%'")
    world.store.close()
    world.store = open_store(f"sqlite:///{world.folder / 'broker.db'}")
    async with world.running() as broker:
        await finish(world, "fine-a1")
        await world.until(lambda: world.state("fine").ended)
        with pytest.raises(Unreadable, match="what is stored of odd can't be read: "):
            world.store.job("odd")
        shown = world.store.recorded("odd", shown=True).job
        assert (shown.spec.name, shown.state) == ("job", JobState.QUEUED)
        assert shown.unread.startswith("what it is to run can't be read: ")
        assert shown in world.store.jobs(JobFilter()).jobs
        assert [job.id for job in world.store.request_cancel(["odd"])] == ["odd"]
        broker.wake()
        await world.until(lambda: world.store.job("odd", shown=True).state is JobState.CANCELLED)


@pytest.mark.parametrize("launched", [True, False])
async def test_what_runs_and_can_t_be_read_is_cancelled_and_its_output_kept_back(
    world: World, launched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_WAIT_S", 0.05)
    async with world.running() as broker:
        world.submit(broker, "odd", run="echo odd")
        fake = await world.running_attempt("odd-a1")
        await fake.move("odd-a1", AttemptState.RUNNING)
        await world.until(lambda: world.state("odd") is JobState.RUNNING)
    changed(world, "UPDATE specs SET body = '{}'")
    if not launched:  # or nobody knows whether it was
        fake.runs.clear()
        changed(world, "UPDATE attempts SET state = 'stored', started_ns = NULL")
    world.store.close()
    world.store = open_store(f"sqlite:///{world.folder / 'broker.db'}")
    async with world.running() as broker:
        await broker.ready(lambda _: None)
        assert len(world.store.holdings()) == 1, "it holds what it holds"
        world.store.request_cancel(["odd"])
        broker.wake()
        await world.until(lambda: ("cancel", "odd-a1") in fake.calls)
        await world.until(lambda: world.store.job("odd", shown=True).state is JobState.CANCELLED)
        with pytest.raises(Unreadable):
            await broker.records.mask("odd-a1")
    assert world.store.attempt("odd-a1").state.ended
    assert ("forget", "odd-a1") not in fake.calls
    assert world.launches() == ["odd-a1"]


@pytest.mark.parametrize("table", ["placements", "specs"])
async def test_what_can_t_be_read_of_a_job_that_runs_ends_nothing(world: World, table: str) -> None:
    async with world.running() as broker:
        for job_id in ("odd", "fine"):
            world.submit(broker, job_id, run=f"echo {job_id}")
            await world.running_attempt(f"{job_id}-a1")
    fake = world.executors["one"]
    whose = "body LIKE '%echo odd%'" if table == "specs" else "job_seq = (SELECT seq FROM jobs WHERE id = 'odd')"
    trigger = "" if table == "specs" else "DROP TRIGGER IF EXISTS placements_update;"
    changed(world, f"{trigger}UPDATE {table} SET body = '{{}}' WHERE {whose}")
    world.store.close()
    world.store = open_store(f"sqlite:///{world.folder / 'broker.db'}")
    async with world.running():
        await fake.move("odd-a1", AttemptState.SUCCEEDED, exit_code=0)
        await finish(world, "fine-a1")
        await world.until(lambda: world.state("fine").ended)
        await world.until(lambda: ("forget", "fine-a1") in fake.calls)
        if table == "placements":
            await world.until(lambda: world.state("odd") is JobState.SUCCEEDED)
    assert ("cancel", "odd-a1") not in fake.calls
    if table == "specs":
        assert ("forget", "odd-a1") not in fake.calls, "its end is kept for whoever can read it"
    assert set(world.launches()) == {"odd-a1", "fine-a1"}


def changed(world: World, statements: str) -> None:
    with closing(sqlite3.connect(world.folder / "broker.db")) as other:
        other.executescript(statements)


async def test_a_launch_that_fails_as_nobody_foresaw_ends_that_attempt_alone(world: World) -> None:
    async with world.running() as broker:
        await world.until(lambda: "one" in world.executors)
        fake = world.executors["one"]
        fake.fail_next["launch"] = TypeError("no such keyword")  # type: ignore[assignment]
        world.submit(broker, "odd")
        await world.until(lambda: world.state("odd").ended)
        world.submit(broker, "fine")
        await finish(world, "fine-a1")
        await world.until(lambda: world.state("fine").ended)
    assert (world.state("odd"), world.state("fine")) == (JobState.FAILED, JobState.SUCCEEDED)
    assert "one failed at launching it: TypeError: no such keyword" in world.store.job("odd").reason
    assert fake.calls.index(("cancel", "odd-a1")) > fake.calls.index(("launch", "odd-a1"))


@pytest.mark.parametrize("method", ["open", "poll", "capacity", "usage", "logs", "forget"])
async def test_a_pool_whose_executor_raises_what_it_should_not_is_tried_again(
    two: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "REOPEN_S", 0.01)
    monkeypatch.setattr(following, "POLL_WAIT_S", 0.1)
    monkeypatch.setattr(retire, "RETRY_S", 0.01)
    build = two.executor

    def faulty(context: ExecutorContext) -> Executor:
        made = build(context)
        if context.pool.name == "one":
            two.executors["one"].fail_next[method] = KeyError("odd")  # type: ignore[assignment]
        return made

    two.executor = faulty  # type: ignore[method-assign]
    async with two.running() as broker:
        two.submit(broker, "other", pools_allowed=("two",))
        two.submit(broker, "mine", pools_allowed=("one",))
        await finish(two, "other-a1", "two")
        await finish(two, "mine-a1", "one")
        await two.until(lambda: two.state("other").ended and two.state("mine").ended)
        await two.until(lambda: ("forget", "mine-a1") in two.executors["one"].calls)
    assert not two.executors["one"].fail_next
    assert sorted(two.launches()) == ["mine-a1", "other-a1"]


@pytest.mark.parametrize("odd", [{"reason": "\ud800"}, {"exit_code": 1 << 70}, {"started_ns": "yesterday"}])
async def test_a_report_that_makes_no_sense_ends_its_attempt_and_no_other(world: World, odd: dict[str, Any]) -> None:
    async with world.running() as broker:
        for job_id in ("odd", "fine"):
            world.submit(broker, job_id)
        fake = await world.running_attempt("odd-a1")
        await world.running_attempt("fine-a1")
        now_ns = broker.clock.now_ns()
        end = AttemptReport(attempt_id="odd-a1", state=AttemptState.FAILED, at_ns=now_ns, ended_ns=now_ns)
        await fake._publish(replace(end, **odd))
        await finish(world, "fine-a1")
        await world.until(lambda: world.state("fine").ended and world.state("odd").ended)
    assert (world.state("odd"), world.state("fine")) == (JobState.FAILED, JobState.SUCCEEDED)
    assert "could not be recorded" in world.store.job("odd").reason
    assert len(world.launches()) == 2


async def test_an_attempt_that_can_t_be_archived_keeps_no_other_from_being_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retire, "RETRY_S", 0.01)
    (world.folder / "archive").mkdir(exist_ok=True)
    async with world.running() as broker:
        keep = broker.archive.keep

        async def odd(executor: Executor, attempt_id: str, *more: Any) -> None:
            if attempt_id == "odd-a1":
                raise ValueError("not this one")
            await keep(executor, attempt_id, *more)

        monkeypatch.setattr(broker.archive, "keep", odd)
        for job_id in ("odd", "fine"):
            world.submit(broker, job_id)
            await finish(world, f"{job_id}-a1")
        fake = world.executors["one"]
        await world.until(lambda: ("forget", "fine-a1") in fake.calls)
        assert ("forget", "odd-a1") not in fake.calls
        monkeypatch.undo()
        await world.until(lambda: ("forget", "odd-a1") in fake.calls)


async def test_a_session_that_fails_begins_anew_after_a_pause(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = 0

    async def fails(*_: Any) -> None:
        nonlocal sessions
        sessions += 1
        if sessions < 3:
            raise RuntimeError("lost its head")
        await asyncio.Event().wait()

    monkeypatch.setattr(Membership, "run", fails)
    async with world.running() as broker:
        await world.until(lambda: sessions == 3)
        assert broker.failures.count == {"session": 2}
        assert (broker.failures.problem or "").startswith("session has failed 2 times in a row")
        world.submit(broker)
        await finish(world, "j-a1")
        await world.until(lambda: world.state() is JobState.SUCCEEDED)
    assert world.launches() == ["j-a1"]


async def test_a_part_that_fails_is_begun_anew_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = asyncio.Event()

    async def fails(_: Budgets) -> None:
        if failed.is_set():
            await asyncio.Event().wait()
        failed.set()
        raise ExceptionGroup("several", [ValueError("odd")])

    monkeypatch.setattr(Budgets, "run", fails)
    async with world.running() as broker:
        await failed.wait()
        world.submit(broker)
        await finish(world, "j-a1")
        await world.until(lambda: world.state() is JobState.SUCCEEDED)
        assert ("close", "False") not in world.executors["one"].calls
        assert broker.failures.count == {"budgets": 1}
        assert broker.failures.problem is None


def test_pauses_grow_until_what_failed_goes_on_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(failures, "monotonic", lambda: now_s)
    found = Failures()
    pauses = [found.failed("session", ValueError("odd")) for _ in range(10)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert found.problem
    now_s += 60.0 + failures.WELL_AFTER_S + 0.1
    assert found.problem is None
    assert found.failed("session", ValueError("odd")) == 0.5
    assert found.problem is None, "once is no row"
    assert found.failed("session", ValueError("odd")) == 1.0
    found.well("session")
    assert found.problem is None
