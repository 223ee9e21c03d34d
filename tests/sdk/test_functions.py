"""One function at a time: it returns, raises, is refused, is ended by who stops waiting."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import broker
from broker.model.errors import InvalidInput
from broker.sdk import call_requests
from broker.testing.executor_watch import PATIENCE_S
from tests.sdk.conftest import Served
from tests.sdk.pool import pools_at_work

BASE = 100


class Refused(Exception):
    """An error of our own, which has more than a text."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self) -> tuple[type["Refused"], tuple[int]]:
        return Refused, (self.code,)


@broker.function(cpu=1, timeout="5m", retries=0)
def add(x: int, *, more: int = 0) -> int:
    """Adds."""
    if x < 0:
        raise Refused(x)
    return BASE + x + more


@broker.function
def twice(x: int) -> int:
    return add(x) + add.local(x)


@broker.function(cpu=1)
def size(data: bytes) -> tuple[int, bytes]:
    return len(data), data


@pytest.fixture(autouse=True)
def settings(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    monkeypatch.setenv("BROKER_USER", "ann")
    monkeypatch.chdir(served.state_dir)


@pytest.fixture
def at_work(served: Served) -> Iterator[list[str]]:
    with pools_at_work(served) as ran:
        yield ran


def test_it_returns_what_it_returned(at_work: list[str]) -> None:
    assert add.remote(1) == 101
    assert add.remote(2, more=5) == 107
    assert add.spawn(3).result() == 103
    assert add.with_options(tags={"team": "vision"}, gpu="H100").remote(4) == 104
    assert [job.details()["tags"] for job in broker.jobs(tag="team=vision")] == [{"team": "vision"}]
    assert next(broker.jobs()).name == "add"


def test_called_as_it_is_it_runs_here() -> None:
    assert (add(1), add.local(2, more=1)) == (101, 103)
    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert list(broker.jobs()) == []


def test_in_a_job_others_are_called_as_they_are(at_work: list[str]) -> None:
    assert twice.remote(1) == 202


def test_it_raises_what_it_raised(at_work: list[str]) -> None:
    with pytest.raises(Refused, match="code -1") as raised:
        add.remote(-1)
    assert raised.value.code == -1
    assert "in add" in raised.value.__notes__[0]


def test_a_handle_is_a_job(served: Served) -> None:
    call = add.spawn(1)
    assert isinstance(call, broker.Job) and call.state in ("queued", "starting")
    with pytest.raises(TimeoutError, match="goes on"):
        call.result(timeout=0.05)
    call.cancel()
    with pytest.raises(broker.JobFailed, match="cancelled"):
        call.result()


@pytest.fixture
def interrupted() -> Iterator[threading.Event]:
    """Sent again and again, as one that comes right before a wait is seen only after it, SIGINT interrupts once."""
    seen = threading.Event()

    def once(*_: object) -> None:
        if not seen.is_set():
            seen.set()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, once)
    yield seen
    signal.signal(signal.SIGINT, before)


def test_who_is_interrupted_while_waiting_cancels_the_job(served: Served, interrupted: threading.Event) -> None:
    def interrupt() -> None:
        served.do(served.house.start(next(broker.jobs()).id))
        while not interrupted.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait(0.2)

    def when_there() -> None:
        while not list(broker.jobs()):
            served.do(served.house.broker.changed(served.house.broker.version, 0.05))
        interrupt()

    other = threading.Thread(target=when_there)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        add.remote(1)
    other.join()
    assert next(broker.jobs()).wait(PATIENCE_S).state == "cancelled"


async def test_twins_for_asyncio(at_work: list[str]) -> None:
    assert await add.remote.aio(1) == 101
    assert await asyncio.gather(*(add.remote.aio(x) for x in range(20))) == [100 + x for x in range(20)]
    call = await add.spawn.aio(2)
    assert await call.result.aio() == 102
    assert await (await call.wait.aio()).logs.aio() == ""
    with pytest.raises(Refused):
        await add.remote.aio(-1)
    job = await broker.submit.aio("true")
    await job.cancel.aio()


async def test_a_task_that_is_cancelled_cancels_the_job(served: Served) -> None:
    waiting = asyncio.create_task(add.remote.aio(1))
    while not await asyncio.to_thread(lambda: list(broker.jobs())):
        await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    job = next(broker.jobs())
    assert (await job.wait.aio(PATIENCE_S)).state == "cancelled"


def test_what_is_large_is_kept_in_a_file_once(served: Served, at_work: list[str]) -> None:
    data = os.urandom(2 << 20)
    assert size.remote(data) == (len(data), data)
    assert size.remote(data)[0] == len(data)
    files = [path for path in (served.state_dir / "blobs").rglob("*") if path.is_file()]
    assert len(files) == 1 and len(data) < files[0].stat().st_size < len(data) + 1_000
    assert served.house.store.blobs_in_use() == frozenset()


def test_a_large_result_comes_on_its_own(at_work: list[str]) -> None:
    data = b"x" * ((16 << 20) + 1)
    assert size.remote(data) == (len(data), data)


def test_too_much_is_refused_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_requests, "MOST_BYTES", 1 << 20)
    with pytest.raises(InvalidInput, match="size: its arguments are 2 MiB pickled, over 1 MiB: write them to a file"):
        size.remote(b"x" * (2 << 20))
    assert list(broker.jobs()) == []


def test_what_the_broker_has_dropped_is_sent_again(served: Served, at_work: list[str]) -> None:
    assert add.remote(1) == 101
    assert served.house.broker.blobs.expire(served.house.clock.now_ns() + 10**9) >= 2
    assert add.remote(1) == 101


def test_what_is_wrong_is_said_where_it_is_written() -> None:
    with pytest.raises(InvalidInput, match=r"gpuz: unknown field \(did you mean 'gpu'\?\)"):
        broker.function(gpuz="H100")(len)
    with pytest.raises(InvalidInput, match=r"array: is for jobs"):
        broker.function(array=3)(len)
    with pytest.raises(InvalidInput, match="is async"):
        broker.function(asyncio.sleep)
    with pytest.raises(InvalidInput, match="is a generator"):
        broker.function(lambda: (yield 1))
    with pytest.raises(InvalidInput, match="is no plain function"):
        broker.function(add)
    with pytest.raises(InvalidInput, match="is called with what can't be pickled"):
        add.remote(threading.Lock())  # type: ignore[arg-type]
    assert list(broker.jobs()) == []


def test_an_image_is_fields_of_the_job(served: Served) -> None:
    image = broker.Image().pip_install("torch>=2.8", "numpy").env({"A": "1"}).run_commands("make", "make install")
    call = add.with_options(image=image, envs={"B": "2"}, requirements=["rich"]).spawn(1)
    document = call.details()["document"]
    assert document["requirements"] == ["torch>=2.8", "numpy", "rich"]
    assert document["envs"] == {"A": "1", "B": "2"}
    assert document["setup"] == "set -e\nmake\nmake install"
    assert image.pip_install("x") != image and "x" not in image.fields["requirements"]
    again = add.with_options(image=image).with_options(image=broker.Image().env({"C": "3"}), tags={"a": "b"}).spawn(1)
    document = again.details()["document"]
    assert document["envs"] == {"C": "3"} and not document.get("requirements"), "another image, not more of the first"


def test_what_no_pool_can_build_is_refused_with_the_reason_of_each(served: Served) -> None:
    image = broker.Image.from_registry("python:3.11").apt_install("ffmpeg", "git=1:2.47")
    with pytest.raises(InvalidInput) as refused:
        add.with_options(image=image).remote(1)
    text = str(refused.value)
    for pool in ("steady", "burst"):
        assert f"{pool}: it needs image python:3.11; the pool takes no images" in text
        assert f"{pool}: it needs the Debian packages ffmpeg, git=1:2.47; the pool builds no images" in text
    with pytest.raises(InvalidInput, match="is no Debian package"):
        add.with_options(image=broker.Image().apt_install("rm -rf /"))


def test_a_broker_that_was_started_again_is_found_again(served: Served, at_work: list[str], tmp_path: Path) -> None:
    assert add.remote(1) == 101
    file = tmp_path / "daemon.json"
    file.write_bytes(file.read_bytes())
    assert add.remote(2) == 102
