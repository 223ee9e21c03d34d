"""Warm: a process that has imported what functions need, and of which each call is a fork; asked without an event loop.

Nothing of a call is left for the next one: a fork begins as the process was, with the variables of its own order.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from executors.on_machine import agent, limits
from executors.on_machine.limits import NO_MEMORY_LIMIT, Limits
from executors.on_machine.processes import descendants, is_zombie, marked, start_agent

_kept: dict[tuple[str, tuple[str, ...]], Warm] = {}  # of this process: the last that was asked for


class Fork:
    """One call."""

    def __init__(self, warm: Warm, pid: int, name: str, oom_kills: int) -> None:
        self.pid, self._name, self._warm = pid, name, warm
        self._oom_kills = oom_kills  # before it began
        self._code: int | None = None

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._warm.socket.fileno()

    def poll(self) -> int | None:
        """Its exit code, or minus a signal; None while it runs. Waits once `fileno` is readable."""
        if self._code is None and self._warm.heard:
            self._code = self._warm.hear().get("exit", -9)
        return self._code

    def left(self) -> list[int]:
        """What it started and still runs; also where it has killed the process that it was a fork of."""
        if self._warm.alive:
            return [pid for pid in descendants(self._warm.pid) if not is_zombie(pid)]
        return marked("BROKER_ATTEMPT_ID", self._name)

    @property
    def oom(self) -> bool:
        """Whether the kernel has ended some of it for want of memory."""
        return self._warm.oom_kills > self._oom_kills

    def close(self) -> None:
        """The process serves the next one."""


class Warm:
    """The process."""

    def __init__(self, python: str, modules: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self._process = start_agent([python, "-I", str(agent.__file__), str(fd), "cloudpickle", *modules], fd)
        self.socket = ours
        self.pid = self._process.pid
        if "ready" not in self.hear():
            ours.close()
            self._process.kill()
            self._process.wait()
            raise OSError(f"{python} ended at once")
        limits.drop_left("warm-")
        # Its forks are born under its limits: to be moved takes a process longer than most short calls.
        self._limits = Limits(f"warm-{self.pid}", memory_bytes=NO_MEMORY_LIMIT)
        with self._limits.doors() as doors:
            self._say({"enter": True}, doors)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    @property
    def oom_kills(self) -> int:
        """How many of its forks, and of what they started, the kernel has ended for want of memory."""
        return self._limits.oom_kills

    def call(self, name: str, memory_bytes: int, env: Mapping[str, str], cwd: Path, files: Sequence[int]) -> Fork:
        """Calls a function for an attempt: `files` are its stdout, stderr, payload and result. Raises OSError."""
        self._limits.change(memory_bytes=memory_bytes or NO_MEMORY_LIMIT)
        oom_kills = self.oom_kills
        self._say({"run": name, "argv": [], "env": dict(env), "cwd": str(cwd), "memory_bytes": 0}, files)
        said = self.hear()
        if "pid" not in said:
            self.end()
            raise OSError(said.get("errno", 0), "a warm process could not call a function")
        return Fork(self, said["pid"], name, oom_kills)

    def _say(self, message: dict[str, Any], files: Sequence[int]) -> None:
        data = json.dumps(message).encode()
        there = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        self.socket.sendmsg([len(data).to_bytes(8, "big")], there)
        self.socket.sendall(data)

    @property
    def heard(self) -> bool:
        """Whether it has said something, or has ended."""
        with suppress(BlockingIOError):
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return True
        return False

    def hear(self) -> dict[str, Any]:
        """What it says next; nothing where it has ended."""
        head = self._read(8)
        found: dict[str, Any] = json.loads(self._read(int.from_bytes(head, "big"))) if head else {}
        return found

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self.socket.recv(size - len(data))):
            data += piece
        return data if len(data) == size else b""

    def end(self) -> None:
        """Ends it with all that it runs."""
        self.socket.close()
        self._process.kill()
        self._process.wait()
        self._limits.close()


def warm(python: str, modules: tuple[str, ...] = ()) -> Warm:
    """The one of this process for an interpreter with modules imported, started where there is none. Raises OSError."""
    found = _kept.get((python, modules))
    if found is None or not found.alive:
        while _kept:
            _kept.popitem()[1].end()
        found = _kept[python, modules] = Warm(python, modules)
    return found


def in_memory(data: bytes) -> IO[bytes]:
    """An open file that is on no disk, at its beginning."""
    file = os.fdopen(os.memfd_create("payload"), "w+b")
    file.write(data)
    file.seek(0)
    return file
