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
from broker.model.errors import InvalidInput, StoreError, UnknownName
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
