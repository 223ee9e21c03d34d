"""The agent: the first process in a container, or beside a runner; runs what its host sends, and says how it ends.

Started as `python -I agent.py FD [MODULE…]` with nothing but the standard library; it imports the modules first, so
that a function finds them there. Messages are JSON with a length before it; open files come with them.
"""

from __future__ import annotations

import array
import ctypes
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False  # importing `typing` would take a third of the start
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MAX_FILES = 4
# By this process, and not by what it runs: Python ignores the last two, most programs count on them.
IGNORED = (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


class Agent:
    """One container."""

    def __init__(self, sock: socket.socket, zygote: ModuleType | None) -> None:
        self.sock = sock
        self.zygote = zygote  # what runs functions in a fork of this process; None where it can't
        self.alone = os.getpid() == 1  # first of a process namespace: all others in it are ours
        self.running: dict[int, str] = {}
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.nothing = os.open(os.devnull, os.O_RDONLY)

    def serve(self) -> None:
        """Until the host closes."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for what it runs, which must not be left alone
        signal.set_wakeup_fd(self.wake_write)
        self.say({"ready": True})
        waiting = select.poll()  # `select` takes no descriptor beyond 1,023, and this one may have come with any number
        for file in (self.sock.fileno(), self.wake_read):
            waiting.register(file, select.POLLIN)
        while True:
            ready = {file for file, _ in waiting.poll()}
            if self.wake_read in ready:
                os.read(self.wake_read, 512)
                self.bury()
            if self.sock.fileno() in ready and not self.obey():
                self.end_all()
                return

    def obey(self) -> bool:
        """Carries out one message; False at the end of the stream."""
        message, files = self.hear()
        if message is None:
            return False
        if "run" in message:
            self.run(message, files)
        elif "enter" in message:
            enter(files)
        elif "signal" in message:
            self.signal_run(message["id"], message["signal"])
        return True

    def hear(self) -> tuple[dict[str, Any] | None, list[int]]:
        """The next message and the files that came with it."""
        fds = array.array("i")
        head, ancillary, _, _ = self.sock.recvmsg(8, socket.CMSG_SPACE(MAX_FILES * fds.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        while head and len(head) < 8:
            head += self.sock.recv(8 - len(head))
        size, body = int.from_bytes(head, "big"), bytearray()
        while head and len(body) < size:
            body += self.sock.recv(min(size - len(body), 1 << 20))
        return (json.loads(bytes(body)) if head else None), list(fds)

    def say(self, message: dict[str, Any]) -> None:
        """Sends one message."""
        body = json.dumps(message).encode()
        self.sock.sendall(len(body).to_bytes(8, "big") + body)

    def run(self, message: dict[str, Any], files: list[int]) -> None:
        """Starts a command, or a function, in a session of its own."""
        start = self.spawn if message["argv"] and not message["memory_bytes"] else self.fork
        try:
            pid = start(message, files)
        except OSError as error:
            self.say({"id": message["run"], "errno": error.errno})
            return
        except ValueError:  # a zero byte in an argument or a variable
            self.say({"id": message["run"], "errno": errno.EINVAL})
            return
        finally:
            for file in files:
                os.close(file)
        self.running[pid] = message["run"]
        self.say({"id": message["run"], "started": True, "pid": pid})

    def spawn(self, message: dict[str, Any], files: list[int]) -> int:
        """Starts a command; a fork would copy the page tables of this process first, which takes many times as long."""
        os.chdir(message["cwd"])  # where it begins
        try:
            targets = ((self.nothing, 0), (files[0], 1), (files[1], 2))
            moves = [(os.POSIX_SPAWN_DUP2, file, target) for file, target in targets]
            closed = [(os.POSIX_SPAWN_CLOSE, file) for file in files]
            argv, env, refused = message["argv"], message["env"], None
            for program in programs(argv[0], env.get("PATH", os.defpath)):
                try:
                    return os.posix_spawn(
                        program, argv, env, file_actions=moves + closed, setsid=True, setsigdef=IGNORED
                    )
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    refused = refused or error
            raise refused or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        finally:
            os.chdir("/")

    def fork(self, message: dict[str, Any], files: list[int]) -> int:
        """Starts a function, or a command whose own limits are to be set, in a copy of this process."""
        failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self.become(message, files, failed_write)
        os.close(failed_write)
        error = os.read(failed_read, 16)
        os.close(failed_read)
        if error:
            os.waitpid(pid, 0)
            raise OSError(int(error), os.strerror(int(error)))
        return pid

    def become(self, message: dict[str, Any], files: list[int], failed: int) -> None:
        """In the child: becomes the command, or says which error kept it from that."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(signum, signal.SIG_DFL)
            if message["memory_bytes"]:
                resource.setrlimit(resource.RLIMIT_DATA, (message["memory_bytes"], message["memory_bytes"]))
            os.dup2(self.nothing, 0)
            for file, target in zip(files[:2], (1, 2), strict=True):
                os.dup2(file, target)
                os.set_inheritable(file, False)
            os.chdir(message["cwd"])
            if message["argv"]:
                for signum in IGNORED:
                    signal.signal(signum, signal.SIG_DFL)
                os.execvpe(message["argv"][0], message["argv"], message["env"])
            assert self.zygote is not None, "this container was started for commands only"
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            os.close(failed)
            self.sock.close()
            os._exit(self.zygote.call(files[2], files[3], message["env"]))
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
            if not self.running:  # looked for at each death: one may have been born while we looked
                self.signal_all(signal.SIGKILL)
            elif run is not None:
                signal_these(marked(run), signal.SIGKILL)
            if run is not None:
                self.say({"id": run, "exit": os.waitstatus_to_exitcode(status)})

    def signal_run(self, run: str, signum: int) -> None:
        """Signals a command and all that it started."""
        if len(self.running) <= 1:
            self.signal_all(signum)
            return
        for pid, name in self.running.items():
            if name == run:
                signal_these({pid, *descendants(pid), *marked(run)}, signum)

    def end_all(self) -> None:
        """Ends all processes of the container but this one, those born meanwhile too."""
        with suppress(ChildProcessError):
            while True:
                self.signal_all(signal.SIGKILL)
                os.waitpid(-1, 0)

    def signal_all(self, signum: int) -> None:
        """Signals all processes of the container but this one."""
        if not self.alone:
            signal_these(descendants(os.getpid()), signum)
            return
        with suppress(ProcessLookupError):
            os.kill(-1, signum)


def programs(name: str, path: str) -> list[str]:
    """The files that a command may mean, in the order in which they are tried."""
    if "/" in name:
        return [name]
    there = [os.path.join(folder, name) for folder in path.split(":")]
    return [program for program in there if os.path.exists(program)]


def enter(groups: list[int]) -> None:
    """Puts this process, and all that it will start, under the limits whose files these are."""
    for group in groups:
        os.write(group, b"0")
        os.close(group)


def signal_these(pids: Iterable[int], signum: int) -> None:
    """Signals those that are still there and are ours to signal."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    found: list[int] = []
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


def marked(run: str) -> list[int]:
    """Those of this container that were started with a run's id in their environment, whoever their parent is now."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"BROKER_ATTEMPT_ID={run}".encode() in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def load_zygote(modules: list[str]) -> ModuleType | None:
    """The part that runs functions, with what they are likely to need imported; None when it is not wanted."""
    if not modules:
        return None
    import importlib.util

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zygote.py")
    spec = importlib.util.spec_from_file_location("broker_zygote", path)
    assert spec is not None and spec.loader is not None
    zygote = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zygote)
    zygote.preload(modules)
    gc.freeze()  # or the first collection of each fork would copy all of it
    return zygote


def main() -> None:
    """Serves the socket whose number is the first argument."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getpid() == 1:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # otherwise it must live to end what it runs
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    Agent(sock, load_zygote(sys.argv[2:])).serve()


if __name__ == "__main__":
    main()
