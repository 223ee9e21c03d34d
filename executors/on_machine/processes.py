"""Processes: a process's descendants, a session's members, those that carry a mark → found in /proc and ended.

Only processes that are known to be ours are ever ended: by descent, by session, or by a mark in their environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


_DETACHED: dict[int, subprocess.Popen[bytes]] = {}  # so that nobody waits for them, and nobody warns that nobody does


def start_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a process in a session of its own that is meant to outlive this one; its output goes to a file."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=dict(environment)
        )
    _DETACHED[process.pid] = process
    return process


def start_agent(command: Sequence[str], fd: int, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Starts an agent in a session of its own, which is given one open file and nothing of this one's environment."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(fd,),
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        start_new_session=True,
    )


def bury(pid: int) -> None:
    """Takes leave of a process that was started detached, if it has ended."""
    if (process := _DETACHED.get(pid)) is not None and process.poll() is not None:
        del _DETACHED[pid]


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads."""
    if pid == os.getpid() and _childless():
        return []
    found: list[int] = []
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _childless() -> bool:
    """Whether this process has no children: one question to the kernel; /proc has a file for each of its threads."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    found: list[int] = []
    todo = children(pid)
    while todo:
        found += todo
        todo = [grandchild for child in todo for grandchild in children(child)]
    return found


def is_zombie(pid: int) -> bool:
    """Whether it has ended, and be it that nobody has taken leave of it."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def marked(name: str, value: str) -> list[int]:
    """Processes that were started with this environment variable."""
    mark = f"{name}={value}".encode()
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def session_members(session: int) -> list[int]:
    """Processes of a session."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                if os.getsid(int(entry.name)) == session:
                    found.append(int(entry.name))
    return found


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its pid it names a process for ever."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process that leads a group, and to its group; nothing once it was waited for.

    Of bubblewrap killed while it begins, the child would wait for its parent for ever.
    """
    if process.returncode is None:  # asked without waiting for it: its number is nobody else's yet
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def send(pids: Iterable[int], signum: int) -> None:
    """Signals those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def end(find: Callable[[], list[int]], grace_s: float) -> None:
    """SIGTERM to all that `find` finds, SIGKILL to what it finds after `grace_s`; returns when it finds nothing."""
    if not (found := find()):
        return
    send(found, signal.SIGTERM)
    limit = time.monotonic() + grace_s
    while find() and time.monotonic() < limit:
        time.sleep(0.02)
    limit = time.monotonic() + 5.0
    while (left := find()) and time.monotonic() < limit:
        send(left, signal.SIGKILL)
        time.sleep(0.02)
