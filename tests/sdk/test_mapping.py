"""Many calls: in order or as they come, with as many under way as there is room for, and nothing left behind."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.sdk import mapping
from broker.sdk.mapping import listed
from broker.testing.executor_watch import PATIENCE_S
from tests.sdk.conftest import Served
from tests.sdk.pool import pools_at_work


@broker.function(cpu=1)
def half(x: int, *, plus: int = 0) -> float:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x / 2 + plus


@broker.function
def power(base: int, exponent: int) -> int:
    return int(base**exponent)


@pytest.fixture(autouse=True)
def settings(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    monkeypatch.setenv("BROKER_USER", "ann")
    monkeypatch.chdir(served.state_dir)
    monkeypatch.setattr(mapping, "TOGETHER", 4)
    monkeypatch.setattr(mapping, "WINDOW", 10)


@pytest.fixture
def at_work(served: Served) -> Iterator[list[str]]:
    with pools_at_work(served) as ran:
        yield ran


def all_ended(served: Served) -> bool:
    return not any(job.state in ("queued", "starting", "running") for job in broker.jobs())


def test_results_come_in_order(at_work: list[str]) -> None:
    assert list(half.map(range(0, 46, 2))) == list(range(23))
    assert sorted(half.map(range(0, 20, 2), order_outputs=False)) == list(range(10))
    assert list(half.map([])) == []


def test_arguments_of_all_kinds(at_work: list[str]) -> None:
    assert list(power.map([2, 3], [3, 2])) == [8, 9]
    assert list(power.starmap([(2, 4), (5, 2)])) == [16, 25]
    assert list(half.map([2, 4], kwargs={"plus": 1})) == [2, 3]
    assert list(half.starmap([[2]], kwargs={"plus": 3})) == [4]


def test_exceptions_as_results(at_work: list[str]) -> None:
    first, second, third = half.map([2, 3, 4], return_exceptions=True)
    assert (first, third) == (1, 2)
    assert isinstance(second, ValueError) and str(second) == "3 is odd"


def test_an_exception_ends_it_and_cancels_what_is_left(served: Served) -> None:
    results = iter(half.map([3, *[2] * 20]))
    with pools_at_work(served), pytest.raises(ValueError, match="3 is odd"):
        next(results)
    with pools_at_work(served):
        for job in broker.jobs():
            job.wait(PATIENCE_S)
    assert {job.state for job in broker.jobs()} >= {"failed"}
    assert all_ended(served)


def test_elements_are_taken_as_there_is_room(at_work: list[str]) -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            taken.append(number)
            yield 2 * number

    for number, value in zip(range(25), half.map(numbers()), strict=False):
        assert value == number
        assert len(taken) <= number + 1 + 10


def test_leaving_early_cancels_what_is_left(served: Served) -> None:
    with pools_at_work(served):
        for value in half.map(2 * n for n in itertools.count()):
            if value == 3:
                break
    with half.map(range(0, 40, 2)) as results:
        waiting = iter(results)
        with pools_at_work(served):
            assert next(waiting) == 0
    with pools_at_work(served):
        for job in broker.jobs():
            job.wait(PATIENCE_S)
    assert len(list(broker.jobs(state="succeeded"))) < 30


async def test_an_async_loop(at_work: list[str]) -> None:
    assert [value async for value in half.map(range(0, 30, 2))] == list(range(15))
    async with half.map(2 * n for n in itertools.count()) as results:
        async for value in results:
            if value == 2:
                break


def test_what_the_elements_raise_is_raised(at_work: list[str]) -> None:
    def broken() -> Iterator[int]:
        yield 2
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(half.map(broken()))


def test_a_chunk_is_one_job(at_work: list[str]) -> None:
    assert list(half.map(range(0, 46, 2), chunksize=5)) == list(range(23))
    assert len(at_work) == 5
    assert list(power.starmap([(2, 4), (5, 2), (3, 2)], chunksize=2)) == [16, 25, 9]
    assert sorted(half.map(range(0, 20, 2), order_outputs=False, kwargs={"plus": 1}, chunksize=3)) == list(range(1, 11))
    assert list(half.map([], chunksize=3)) == []


def test_what_one_of_a_chunk_raises_keeps_no_other_from_its_turn(at_work: list[str]) -> None:
    results = half.map([2, 3, 4, 6], return_exceptions=True, chunksize=3)
    first, second, *others = results
    assert (first, others) == (1, [2, 3])
    assert isinstance(second, ValueError) and "raised in the job" in str(second.__notes__)
    got = []
    with pytest.raises(ValueError, match="3 is odd"):
        for value in half.map([2, 3, 4], chunksize=3):
            got.append(value)
    assert got == [1]


def test_what_ends_the_job_of_a_chunk_came_of_all_of_it(at_work: list[str]) -> None:
    @broker.function
    def leaves(x: int) -> int:
        if x == 1:
            raise SystemExit("enough")
        return x

    *ended, last = leaves.map(range(4), return_exceptions=True, chunksize=3)
    assert last == 3 and [type(each) for each in ended] == [SystemExit] * 3


def test_what_raises_in_a_chunk_is_repeated_as_often_as_retries_say(at_work: list[str], tmp_path: Path) -> None:
    def flaky(x: int) -> int:
        with (tmp_path / str(x)).open("a") as seen:
            seen.write("x")
        if (tmp_path / str(x)).stat().st_size <= x:
            raise ValueError(f"{x} again")
        return x

    patient = broker.function(retries=2)(flaky)
    *good, bad = patient.map(range(4), return_exceptions=True, chunksize=4)
    assert good == [0, 1, 2] and isinstance(bad, ValueError)
    assert (tmp_path / "3").read_text() == "xxx"
    assert len(at_work) == 1


def test_what_a_chunk_can_not_send_back_is_an_error_of_its_call(at_work: list[str]) -> None:
    @broker.function
    def lock(wanted: bool) -> object:
        return threading.Lock() if wanted else 7

    refused, good = lock.map([True, False], return_exceptions=True, chunksize=2)
    assert isinstance(refused, TypeError) and good == 7


def test_a_chunk_has_calls() -> None:
    with pytest.raises(broker.InvalidInput, match="chunksize"):
        half.map([2], chunksize=0)


@given(st.sets(st.integers(0, 50)))
def test_indexes_are_listed_and_read_again(indexes: set[int]) -> None:
    from broker.api.calls import wanted

    if indexes:
        assert wanted([f"a:{listed(indexes)}", "b"]) == {"a": indexes, "b": None}
