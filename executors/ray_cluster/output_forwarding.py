"""Forwards what an attempt writes on its node to the supervisor's folder, while it runs and when it has ended.

Nodes of a running cluster share no files with the broker. What was forwarded before a node is lost stays readable.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from executors.on_machine.attempt_dir import AttemptDir

EVERY_S: Final = 0.2
_PIECE: Final = 1 << 20

_ASK_EVERY_S: Final = 5.0  # where nothing is written

# What is written, and where: "stdout", "stderr" (appended) or "result" (all at once). The answer is how long the
# attempt has where its node is being taken away.
Send = Callable[[str, bytes], float | None]


def node_root(root: str, node: str) -> str:
    """The folder of a node for what attempts need while they run there."""
    return str(Path(root).expanduser() / "nodes" / node)


class OutputForwarder:
    """A context manager that forwards an attempt's streams as they grow; their rest, and the result, on exit.

    `send` returns once the receiver has the data, and raises when the receiver is gone: then nobody wants it any more.
    `end` is called once, in a thread of its own, when an answer of `send` says that the node is being taken away.
    """

    def __init__(self, folder: AttemptDir, send: Send, end: Callable[[float], None]) -> None:
        self._folder = folder
        self._ask = send
        self._end = end
        self._asked_s = time.monotonic()
        self._ending: threading.Thread | None = None
        self._sent = {"stdout": 0, "stderr": 0}
        self._over = threading.Event()
        self._problem: Exception | None = None

    def __enter__(self) -> Self:
        self._folder.make()
        self._thread = threading.Thread(target=self._run, name="output-forwarder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if self._problem is None and self._folder.result.exists():
            self._send("result", self._folder.result.read_bytes())
        shutil.rmtree(self._folder.path, ignore_errors=True)
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            while not self._over.wait(EVERY_S):
                self._forward()
            self._forward()
        except Exception as error:
            self._problem = error

    def _forward(self) -> None:
        for stream, path in (("stdout", self._folder.stdout), ("stderr", self._folder.stderr)):
            with suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(self._sent[stream])
                while data := file.read(_PIECE):
                    self._send(stream, data)
                    self._sent[stream] += len(data)
        if time.monotonic() > self._asked_s + _ASK_EVERY_S:
            self._send("stdout", b"")

    def _send(self, what: str, data: bytes) -> None:
        self._asked_s = time.monotonic()
        notice_s = self._ask(what, data)
        if notice_s is not None and self._ending is None:
            self._ending = threading.Thread(target=self._end, args=(notice_s,), name="ending", daemon=True)
            self._ending.start()
