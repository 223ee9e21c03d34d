"""An agent starts commands as a shell does, in the folder and with the variables of their order."""

import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import cloudpickle
import pytest

from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine import agent
from executors.on_machine.processes import children, is_zombie, start_agent
from executors.on_machine.warm import in_memory


class Asked:
    """An agent, and what it says."""

    def __init__(self, *modules: str) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self.process = start_agent([sys.executable, "-I", str(agent.__file__), str(fd), *modules], fd)
        assert self.hear() == {"ready": True}

    def hear(self) -> dict[str, Any]:
        size = int.from_bytes(self.socket.recv(8, socket.MSG_WAITALL), "big")
        return dict(json.loads(self.socket.recv(size, socket.MSG_WAITALL)))

    def run(self, folder: Path, *argv: str, memory_bytes: int = 0, **env: str) -> tuple[int, str]:
        """The exit code of a command, or minus the errno that kept it from running; and what it wrote."""
        with (folder / "out").open("wb") as out:
            message = {"argv": argv, "env": env, "cwd": str(folder), "memory_bytes": memory_bytes}
            return self.told(message, out, out), (folder / "out").read_text()

    def call(self, folder: Path, function: Callable[[], Any]) -> Any:
        """What a function returns."""
        payload, result = in_memory(cloudpickle.dumps((function, (), {}))), folder / "result"
        with payload, (folder / "out").open("wb") as out, result.open("wb") as into:
            message = {"argv": [], "env": {}, "cwd": str(folder), "memory_bytes": 0, "ahead": True}
            assert self.told(message, out, out, payload, into) == 0
        return cloudpickle.loads(result.read_bytes())[1]

    def told(self, message: dict[str, Any], *files: IO[bytes]) -> int:
        """The exit code, or minus the errno that kept it from running."""
        agent.say(self.socket, {"run": "r", **message}, [file.fileno() for file in files])
        said = self.hear()
        return -said["errno"] if "errno" in said else self.hear()["exit"]

    def waiting(self) -> int:
        """The fork that waits for the next call, once there is one and nothing else."""
        limit = time.monotonic() + PATIENCE_S
        while len(found := children(self.process.pid)) != 1 or is_zombie(found[0]):
            assert time.monotonic() < limit, found
        return found[0]

    def end(self) -> None:
        self.socket.close()
        self.process.wait()


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by `nohup`
    asked = Asked("cloudpickle")
    signal.signal(signal.SIGHUP, before)
    yield asked
    asked.end()


def script(file: Path, text: str, mode: int = 0o755) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


LIMITED = pytest.mark.parametrize("memory_bytes", [0, 1 << 30], ids=["", "with a limit of its own"])


@LIMITED
def test_a_command_is_looked_for_in_its_own_path(asked: Asked, tmp_path: Path, memory_bytes: int) -> None:
    script(tmp_path / "first" / "tool", "#!/bin/sh\necho first", mode=0o644)
    script(tmp_path / "tool", '#!/bin/sh\necho "$0 $WORD $(pwd)"; exit 3')
    found = asked.run(tmp_path, "tool", memory_bytes=memory_bytes, PATH="first:nowhere:.:/usr/bin:/bin", WORD="a b")
    assert found == (3, f"./tool a b {tmp_path}\n")
    assert asked.run(tmp_path, "./tool", memory_bytes=memory_bytes, WORD="")[0] == 3


@LIMITED
def test_what_can_t_be_run_is_told(asked: Asked, tmp_path: Path, memory_bytes: int) -> None:
    def problem(*argv: str, folder: Path = tmp_path, path: str = "first:/usr/bin:/bin") -> int:
        return -asked.run(folder, *argv, memory_bytes=memory_bytes, PATH=path)[0]

    script(tmp_path / "first" / "tool", "#!/bin/sh\n", mode=0o644)
    script(tmp_path / "no-interpreter", "#!/no/such/interpreter\n")
    script(tmp_path / "no-program", "neither\n")
    assert problem("tool") == problem("./first/tool") == errno.EACCES
    assert problem("no-such-tool") == problem("./no-interpreter") == errno.ENOENT
    assert problem("./no-program") == errno.ENOEXEC
    assert problem("true", "x" * (1 << 18)) == errno.E2BIG
    assert problem("true", path="first") == errno.ENOENT


def test_a_zero_byte_ends_no_agent(asked: Asked, tmp_path: Path) -> None:
    assert asked.run(tmp_path, "echo", "a\0b", PATH="/usr/bin:/bin")[0] == -errno.EINVAL
    assert asked.run(tmp_path, "echo", "on", PATH="/usr/bin:/bin") == (0, "on\n")


def test_a_command_has_no_file_but_its_own_and_ignores_no_signal(asked: Asked, tmp_path: Path) -> None:
    said = asked.run(tmp_path, "sh", "-c", "ls /proc/$$/fd; grep SigIgn /proc/self/status", PATH="/usr/bin:/bin")[1]
    *files, ignored = said.splitlines()
    assert files == ["0", "1", "2"]
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0  # beyond are those of the C library itself


def test_a_fork_waits_for_the_next_call_and_for_one_only(asked: Asked, tmp_path: Path) -> None:
    asked.call(tmp_path, os.getpid)
    waiting = asked.waiting()
    assert asked.call(tmp_path, os.getpid) == waiting
    assert asked.call(tmp_path, lambda: sorted(os.environ)) == []
    assert asked.waiting() != waiting


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_fork_that_was_ended_while_it_waited_is_missed_by_no_call(
    asked: Asked, tmp_path: Path, signum: signal.Signals
) -> None:
    asked.call(tmp_path, os.getpid)
    os.kill(asked.waiting(), signum)
    assert asked.call(tmp_path, lambda: "on") == "on"
