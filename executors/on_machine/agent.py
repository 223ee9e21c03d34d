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

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MAX_FILES = 4
BEGUN = b"+"  # what a fork says that has heard what it is to become
# By this process, and not by what it runs: by itself, by Python, and where the broker was begun by `nohup` or in the
# background of a script. Most programs count on them.
IGNORED = (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class Agent:
    """One container."""

    def __init__(self, sock: socket.socket, zygote: ModuleType | None) -> None:
        self.sock = sock
        self.zygote = zygote  # what runs functions in a fork of this process; None where it can't
        self.alone = os.getpid() == 1  # first of a process namespace: all others in it are ours
        self.running: dict[int, str] = {}
        self.spare: tuple[int, socket.socket] | None = None  # a fork that waits for what it is to become
        self.spares: set[int] = set()  # all forks that have become nothing yet, those that were ended too
        self.ahead = False  # whether a fork is to wait for the next function
        self.wake_read, self.wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.nothing = os.open(os.devnull, os.O_RDONLY)

    def serve(self) -> None:
        """Until the host closes."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for what it runs, which must not be left alone
        signal.set_wakeup_fd(self.wake_write)
        say(self.sock, {"ready": True})
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
        message, files = hear(self.sock)
        if message is None:
            return False
        if "run" in message:
            self.run(message, files)
        elif "enter" in message:
            enter(files)
        elif "signal" in message:
            self.signal_run(message["id"], message["signal"])
        return True

    def run(self, message: dict[str, Any], files: list[int]) -> None:
        """Starts a command, or a function, in a session of its own."""
        start = self.spawn if message["argv"] and not message["memory_bytes"] else self.fork
        try:
            pid = start(message, files)
        except OSError as error:
            say(self.sock, {"id": message["run"], "errno": error.errno})
            return
        except ValueError:  # a zero byte in an argument or a variable
            say(self.sock, {"id": message["run"], "errno": errno.EINVAL})
            return
        finally:
            for file in files:
                os.close(file)
        self.running[pid] = message["run"]
        say(self.sock, {"id": message["run"], "started": True, "pid": pid})

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
        """Has a fork become a function, or a command whose own limits are to be set."""
        self.ahead = message.get("ahead", False)
        pid, said = self.ask(self.spare, message, files) if self.spare is not None else (0, b"")
        if not said:  # none has waited, or it was ended meanwhile
            pid, said = self.ask(self.copy(), message, files)
        if said == BEGUN:
            self.spares.discard(pid)
            return pid
        error = int(said[len(BEGUN) :] or errno.ECHILD)
        raise OSError(error, os.strerror(error))

    def ask(self, fork: tuple[int, socket.socket], message: dict[str, Any], files: list[int]) -> tuple[int, bytes]:
        """All that a fork says to what it is to become; nothing where it is gone."""
        self.spare = None
        pid, sock = fork
        said = b""
        with sock, suppress(OSError):
            say(sock, message, files)
            while piece := sock.recv(16):
                said += piece
        return pid, said

    def copy(self) -> tuple[int, socket.socket]:
        """A fork of this process that waits for what it is to become."""
        ours, theirs = socket.socketpair()
        with theirs:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self.wait(theirs)
        self.spares.add(pid)
        return pid, ours

    def wait(self, sock: socket.socket) -> None:
        """In the fork: does what can be done before it is known what it is to become, then becomes it.

        Says which error kept it from that.
        """
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.sock.close()
            if self.zygote is not None:
                self.zygote.rehearse()
            message, files = hear(sock)
            if message is not None:
                sock.sendall(BEGUN)
                self.become(message, files, sock)
        except OSError as error:
            sock.sendall(str(error.errno).encode())
        finally:
            os._exit(127)

    def become(self, message: dict[str, Any], files: list[int], sock: socket.socket) -> None:
        """In the fork: becomes the function or the command. Raises OSError where it can't."""
        for signum in IGNORED[: len(IGNORED) if message["argv"] else 1]:
            signal.signal(signum, signal.SIG_DFL)
        if message["memory_bytes"]:
            resource.setrlimit(resource.RLIMIT_DATA, (message["memory_bytes"], message["memory_bytes"]))
        os.dup2(self.nothing, 0)
        for file, target in zip(files[:2], (1, 2), strict=True):
            os.dup2(file, target)
            os.set_inheritable(file, False)
        os.chdir(message["cwd"])
        if message["argv"]:
            os.execvpe(message["argv"][0], message["argv"], message["env"])
        assert self.zygote is not None, "this container was started for commands only"
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        sock.close()
        os._exit(self.zygote.call(files[2], files[3], message["env"]))

    def bury(self) -> None:
        """Takes leave of the dead; the end of a command is the end of all that it started."""
        with suppress(ChildProcessError):
            while (death := os.waitpid(-1, os.WNOHANG))[0]:
                self.bury_one(*death)
        if self.ahead and self.spare is None:
            with suppress(OSError):  # there is no room for it now
                self.spare = self.copy()

    def bury_one(self, pid: int, status: int) -> None:
        """Takes leave of one."""
        if pid in self.spares:
            self.spares.discard(pid)
            if self.spare is not None and self.spare[0] == pid:
                self.drop_spare()
            return
        run = self.running.pop(pid, None)
        if not self.running:  # looked for at each death: one may have been born while we looked
            self.drop_spare()
            self.signal_all(signal.SIGKILL)
        elif run is not None:
            signal_these(marked(run), signal.SIGKILL)
        if run is not None:
            say(self.sock, {"id": run, "exit": os.waitstatus_to_exitcode(status)})

    def drop_spare(self) -> None:
        """The fork that waits is asked no more."""
        if self.spare is not None:
            self.spare[1].close()
            self.spare = None

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


def hear(sock: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and the files that came with it; none at the end of the stream."""
    fds = array.array("i")
    head, ancillary, _, _ = sock.recvmsg(8, socket.CMSG_SPACE(MAX_FILES * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    while head and len(head) < 8:
        head += sock.recv(8 - len(head))
    size, body = int.from_bytes(head, "big"), bytearray()
    while head and len(body) < size:
        body += sock.recv(min(size - len(body), 1 << 20))
    return (json.loads(bytes(body)) if head else None), list(fds)


def say(sock: socket.socket, message: dict[str, Any], files: Iterable[int] = ()) -> None:
    """Sends one message, and files with it."""
    body = json.dumps(message).encode()
    data = len(body).to_bytes(8, "big") + body
    there = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    sent = sock.sendmsg([data], there)
    if sent < len(data):  # to send nothing fails where the other end has answered and is gone
        sock.sendall(data[sent:])


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
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getpid() == 1:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # otherwise it must live to end what it runs
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)
    Agent(sock, load_zygote(sys.argv[2:])).serve()


if __name__ == "__main__":
    main()
