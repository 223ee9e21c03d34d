"""The agent: the first process in a container; runs the commands that its host sends, and says how they end.

Started as `python -I -S agent.py FD` with nothing but the standard library. Messages are JSON with a length before it;
a command's stdout and stderr come as open files with its message.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Agent:
    """One container."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.alone = os.getpid() == 1  # first of a process namespace: all others in it are ours
        self.running: dict[int, str] = {}
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def serve(self) -> None:
        """Until the host closes."""
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_write)
        self.say({"ready": True})
        while True:
            ready, _, _ = select.select([self.sock.fileno(), self.wake_read], [], [])
            if self.wake_read in ready:
                os.read(self.wake_read, 512)
                self.bury()
            if self.sock.fileno() in ready and not self.obey():
                self.signal_all(signal.SIGKILL)
                return

    def obey(self) -> bool:
        """Carries out one message; False at the end of the stream."""
        message, files = self.hear()
        if message is None:
            return False
        if "run" in message:
            self.run(message, files)
        elif "signal" in message:
            self.signal_run(message["id"], message["signal"])
        return True

    def hear(self) -> tuple[Any, list[int]]:
        """The next message and the files that came with it."""
        fds = array.array("i")
        head, ancillary, _, _ = self.sock.recvmsg(8, socket.CMSG_SPACE(2 * fds.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        while head and len(head) < 8:
            head += self.sock.recv(8 - len(head))
        size, body = int.from_bytes(head, "big"), b""
        while head and len(body) < size:
            body += self.sock.recv(min(size - len(body), 1 << 20))
        return (json.loads(body) if head else None), list(fds)

    def say(self, message: dict[str, Any]) -> None:
        """Sends one message."""
        body = json.dumps(message).encode()
        self.sock.sendall(len(body).to_bytes(8, "big") + body)

    def run(self, message: dict[str, Any], files: list[int]) -> None:
        """Starts a command in a session of its own."""
        failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self.become(message, files, failed_write)
        os.close(failed_write)
        for file in files:
            os.close(file)
        error = os.read(failed_read, 16)
        os.close(failed_read)
        if error:
            os.waitpid(pid, 0)
            self.say({"id": message["run"], "errno": int(error)})
            return
        self.running[pid] = message["run"]
        self.say({"id": message["run"], "started": True})

    def become(self, message: dict[str, Any], files: list[int], failed: int) -> None:
        """In the child: becomes the command, or says which error kept it from that."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (files[0], 1), (files[1], 2)):
                os.dup2(source, target)
            os.chdir(message["cwd"])
            os.execvpe(message["argv"][0], message["argv"], message["env"])
        except OSError as error:
            os.write(failed, str(error.errno).encode())
        finally:
            os._exit(127)

    def bury(self) -> None:
        """Takes leave of the dead; the end of a command is the end of all that it started."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            run = self.running.pop(pid, None)
            if run is not None:
                if not self.running:
                    self.signal_all(signal.SIGKILL)
                self.say({"id": run, "exit": os.waitstatus_to_exitcode(status)})

    def signal_run(self, run: str, signum: int) -> None:
        """Signals a command and all that it started."""
        if len(self.running) <= 1:
            self.signal_all(signum)
            return
        for pid, name in self.running.items():
            if name == run:
                signal_these([pid, *descendants(pid)], signum)

    def signal_all(self, signum: int) -> None:
        """Signals all processes of the container but this one."""
        if not self.alone:
            signal_these(descendants(os.getpid()), signum)
            return
        with suppress(ProcessLookupError):
            os.kill(-1, signum)


def signal_these(pids: Iterable[int], signum: int) -> None:
    """Signals those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    found = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as file:
                children = [int(child) for child in file.read().split()]
        except OSError:
            continue
        found += children
        todo += children
    return found


if __name__ == "__main__":
    Agent(socket.socket(fileno=int(sys.argv[1]))).serve()
