"""Calls of functions in forks of a warm process: each begins as if it were the first, and leaves nothing running."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine import limits
from executors.on_machine.warm import Fork, Warm, in_memory, warm
from tests.executors.cgroups import needs_cgroups


@pytest.fixture
def process() -> Iterator[Warm]:
    found = Warm(sys.executable, ())
    yield found
    found.end()


def begun(process: Warm, folder: Path, function: Callable[..., Any], *, memory_bytes: int = 0, **env: str) -> Fork:
    payload = cloudpickle.dumps((function, (), {}))
    with (folder / "out").open("wb") as out, (folder / "result").open("wb") as result, in_memory(payload) as call:
        files = (out.fileno(), out.fileno(), call.fileno(), result.fileno())
        return process.call("j-a1", memory_bytes, {"BROKER_ATTEMPT_ID": "j-a1", **env}, folder, files)


def ended(fork: Fork) -> int:
    while (code := fork.poll()) is None:
        assert select.select([fork], [], [], 20)[0], "it does not end"
    return code


def returned(folder: Path) -> Any:
    return cloudpickle.loads((folder / "result").read_bytes())[1]


def test_nothing_of_a_call_is_left_for_the_next(process: Warm, tmp_path: Path) -> None:
    def first() -> str:
        import builtins

        builtins.left = os.environ["SECRET"]  # type: ignore[attr-defined]
        os.environ["MORE"] = "also"
        return os.environ["SECRET"]

    def second() -> tuple[list[str], bool, str]:
        import builtins

        return sorted(os.environ), hasattr(builtins, "left"), os.getcwd()

    assert ended(begun(process, tmp_path, first, SECRET="of ann")) == 0 and returned(tmp_path) == "of ann"
    assert ended(begun(process, tmp_path, second)) == 0
    assert returned(tmp_path) == (["BROKER_ATTEMPT_ID"], False, str(tmp_path))


def test_what_it_raises_or_dies_of_is_told(process: Warm, tmp_path: Path) -> None:
    assert ended(begun(process, tmp_path, lambda: 1 / 0)) == 1
    assert b"ZeroDivisionError" in (tmp_path / "out").read_bytes()
    assert ended(begun(process, tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL))) == -signal.SIGKILL
    assert ended(begun(process, tmp_path, lambda: None)) == 0


def test_one_that_kills_what_it_is_a_fork_of_ends_with_all_that_it_started(process: Warm, tmp_path: Path) -> None:
    def hostile() -> None:
        import subprocess

        subprocess.Popen(["sleep", "600"], start_new_session=True)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)

    fork = begun(process, tmp_path, hostile)
    assert ended(fork) == -signal.SIGKILL
    limit = time.monotonic() + PATIENCE_S
    while process.alive or Path(f"/proc/{fork.pid}").exists():
        assert time.monotonic() < limit, "it outlives what it was a fork of"
        time.sleep(0.01)
    (sleeper,) = fork.left()
    os.kill(sleeper, signal.SIGKILL)


@needs_cgroups
def test_each_call_has_the_memory_of_its_own_order(process: Warm, tmp_path: Path) -> None:
    def large() -> int:
        return len(bytearray(256 << 20))

    for memory_bytes, code in ((64 << 20, -signal.SIGKILL), (512 << 20, 0), (64 << 20, -signal.SIGKILL), (0, 0)):
        fork = begun(process, tmp_path, large, memory_bytes=memory_bytes)
        assert (ended(fork), fork.oom) == (code, code != 0)


@needs_cgroups
def test_limits_of_processes_that_have_ended_are_removed() -> None:
    ended_, mine = (limits.Limits(f"warm-{pid}", memory_bytes=1 << 30) for pid in (gone_pid(), os.getpid()))
    limits.drop_left("warm-")
    try:
        assert not any(group.exists() for group in ended_.groups) and all(group.exists() for group in mine.groups)
    finally:
        mine.close()


def gone_pid() -> int:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    return child


def test_it_is_kept_until_it_is_gone(tmp_path: Path) -> None:
    first = warm(sys.executable)
    assert warm(sys.executable) is first
    first.end()
    second = warm(sys.executable)
    assert second is not first and ended(begun(second, tmp_path, lambda: 7)) == 0 and returned(tmp_path) == 7
    second.end()
