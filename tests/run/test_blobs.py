"""Functions and arguments are kept once, under their hash, and become the payload that executors are given."""

import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import calls
from broker.model.errors import InvalidInput, StoreError, StoreFull, UnknownName
from broker.model.jobs import FunctionCall
from broker.run.attempts.blobs import SMALL, Blobs
from broker.run.attempts.payloads import check_inputs, payload
from broker.run.clock import SystemClock
from broker.run.store import open_store

DAY_NS = 86_400 * 10**9


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Blobs]:
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    yield Blobs(tmp_path / "blobs", store, SystemClock())
    store.close()


def keep(blobs: Blobs, data: bytes, piece: int = 50_000) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    with blobs.draft(sha256) as draft:
        for at in range(0, len(data), piece):
            draft.write(data[at : at + piece])
        draft.commit()
    assert draft.size == len(data)
    return sha256


def files(blobs: Blobs) -> list[Path]:
    return [path for path in blobs.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 3 * SMALL + 7])
def test_what_was_kept_is_read_again(blobs: Blobs, size: int) -> None:
    data = os.urandom(size)
    sha256 = keep(blobs, data)
    assert keep(blobs, data) == sha256
    assert (blobs.has(sha256), blobs.size(sha256)) == (True, size)
    assert blobs.read(sha256) == data
    assert blobs.read(sha256, 3, 10) == data[3:10]
    assert len(files(blobs)) == (size > SMALL), "what is large is in one file, the rest in the store"


@pytest.mark.parametrize("size", [10, 2 * SMALL])
def test_another_hash_is_refused_and_leaves_nothing(blobs: Blobs, size: int) -> None:
    with pytest.raises(InvalidInput, match="but the content has"), blobs.draft("0" * 64) as draft:
        draft.write(b"x" * size)
        draft.commit()
    assert not blobs.has("0" * 64) and files(blobs) == []
    with pytest.raises(UnknownName):
        blobs.read("0" * 64)


def test_one_that_comes_halfway_leaves_nothing(blobs: Blobs) -> None:
    with pytest.raises(ConnectionError), blobs.draft("0" * 64) as draft:
        draft.write(b"x" * 2 * SMALL)
        raise ConnectionError
    assert files(blobs) == []


def test_what_nobody_has_wanted_for_long_is_dropped(blobs: Blobs) -> None:
    old, large, wanted = keep(blobs, b"old"), keep(blobs, b"l" * 2 * SMALL), keep(blobs, b"w" * 2 * SMALL)
    now_ns = SystemClock().now_ns()
    for name in (large, wanted):
        (path,) = [path for path in files(blobs) if path.name == name]
        os.utime(path, ns=(now_ns - 3 * DAY_NS,) * 2)
    assert blobs.has(wanted)
    assert blobs.expire(now_ns - 2 * DAY_NS) == 1
    assert [blobs.has(name) for name in (old, large, wanted)] == [True, False, True]
    assert blobs.expire(now_ns + DAY_NS) == 2


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "blobs").write_text("not a folder")
    with pytest.raises(StoreError, match=r"arguments of functions can't be kept in .*blobs"):
        keep(blobs, b"x" * 2 * SMALL)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_each_call_is_found_in_a_file_of_them(parts: list[bytes]) -> None:
    joined = calls.joined(parts)
    assert calls.count(joined) == calls.checked(joined, len(joined)) == len(parts)
    first = calls.head_size(len(parts))
    for index, part in enumerate(parts):
        begin, end = calls.span(joined[slice(*calls.ends_at(index))], index)
        assert joined[first + begin : first + end] == part


@given(st.binary(max_size=60), st.integers(0, 60))
def test_what_is_no_file_of_calls_is_refused(data: bytes, size: int) -> None:
    try:
        number = calls.checked(data, size)
    except ValueError:
        return
    assert size == calls.head_size(number) + int.from_bytes(data[number * 8 : number * 8 + 8], "big")


def test_a_payload_is_the_function_with_the_arguments_of_its_task(blobs: Blobs) -> None:
    function = keep(blobs, cloudpickle.dumps(lambda x, y=1: (x, y)))
    inputs = keep(blobs, calls.joined([cloudpickle.dumps(((n,), {"y": n + 1})) for n in range(3)]))
    call = FunctionCall(blob=function, name="f", python="3.11", inputs=inputs)
    for index in range(3):
        made, args, kwargs = pickle.loads(payload(call, index, blobs))
        assert made(*args, **kwargs) == (index, index + 1)
    whole = keep(blobs, b"a whole call")
    assert payload(FunctionCall(blob=whole, name="f", python="3.11"), 0, blobs) == b"a whole call"


def test_arguments_are_checked_before_anything_is_stored(blobs: Blobs) -> None:
    two = keep(blobs, calls.joined([b"a", b"b"]))
    check_inputs(two, 2, blobs)
    with pytest.raises(InvalidInput, match=r"function\.inputs: has arguments for 2 calls, but there are 3"):
        check_inputs(two, 3, blobs)
    for damaged in (b"", b"x" * 100, calls.joined([b"a", b"b"])[:-1]):
        with pytest.raises(InvalidInput, match=r"function\.inputs"):
            check_inputs(keep(blobs, damaged), 2, blobs)


LITTLE = 4 * SMALL


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Blobs]:
    """With little room, and counted anew whenever something does not fit."""
    store = open_store(f"sqlite:///{tmp_path / 'broker.db'}")
    yield Blobs(tmp_path / "blobs", store, SystemClock(), LITTLE)
    store.close()


@pytest.fixture
def always_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.run.attempts.blob_room.COUNTED_S", 0.0)


@pytest.mark.usefixtures("always_counted")
def test_all_together_have_no_more_than_they_may(little: Blobs) -> None:
    keep(little, b"s" * SMALL)
    large = keep(little, b"l" * 2 * SMALL)
    for _ in range(9):  # what is here already takes no more
        keep(little, b"s" * SMALL)
    with pytest.raises(StoreFull, match=rf"have 196,608 of the {LITTLE:,} bytes .*`logs.max_blobs`"):
        keep(little, b"m" * 2 * SMALL)
    assert len(files(little)) == 1, "nothing is left of what had no room"
    keep(little, b"n" * SMALL)
    assert not little.room.take_at_hand(1)
    little._file(large).unlink()  # by another broker that shares the folder
    keep(little, b"o" * 2 * SMALL)


def test_what_comes_at_the_same_time_is_counted(little: Blobs) -> None:
    with little.draft("0" * 64) as first, little.draft("1" * 64) as second:
        first.write(b"x" * 3 * SMALL)
        with pytest.raises(StoreFull):
            second.write(b"y" * 2 * SMALL)
    keep(little, b"z" * LITTLE)  # both gave back what they had taken, counted or not


def test_after_some_were_dropped_there_is_room_again(little: Blobs) -> None:
    keep(little, b"x" * LITTLE)
    with pytest.raises(StoreFull):
        little.room.take(1)
    assert little.expire(SystemClock().now_ns() + DAY_NS) == 1
    assert not little.room.take_at_hand(1), "it is not known how much before it is counted"
    little.room.take(LITTLE)
