"""A process that has imported Modal's client and forks: each child is a container of a function, run by Modal's own
entry point. It saves each container the second that the import takes.

It is told a socket to listen at. To each who connects it reads orders, one a line of JSON: the environment, the folder
to work in and two fifos for the output. It answers with the child's pid, and with pid and exit code once it has ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback

import modal._container_entrypoint  # noqa: F401 - what takes long


def child(order: dict[str, object]) -> None:
    """Becomes the container; never returns."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(order["env"])  # type: ignore[call-overload]
    os.chdir(str(order["cwd"]))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(str(order[name]), os.O_WRONLY), number)
    os.closerange(3, 64)
    code = 1
    try:
        sys.modules.pop("modal._container_entrypoint")
        runpy.run_module("modal._container_entrypoint", run_name="__main__")
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """A process for each who connects."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # it ends with whoever started it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1] + ".draft")
        listening.listen()
        os.rename(sys.argv[1] + ".draft", sys.argv[1])
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                connection.close()
                serve()
            connection.close()


def serve() -> None:
    """Forks as it is told, and buries what it forked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    buried, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reading = b""
    while True:
        ready, _, _ = select.select([0, buried], [], [])
        if buried in ready:
            os.read(buried, 4096)
            bury()
        if 0 in ready:
            data = os.read(0, 1 << 20)
            if not data:
                os._exit(0)
            *lines, reading = (reading + data).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    child(json.loads(line))
                say(pid)


def bury() -> None:
    """Says which have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        say([pid, os.waitstatus_to_exitcode(status)])


def say(what: object) -> None:
    """One line of JSON."""
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
