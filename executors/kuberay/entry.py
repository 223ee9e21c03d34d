"""The entrypoint of a Ray job: reads the order that came along, and runs it with the agent beside it.

It travels as text and runs where nothing else of the project is, on Python 3.8 too. A Ray job has one log for both
streams, into which Ray and its submitter write as well: each line of ours begins with `MARK`, stream and number.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

MARK = "\uf602"
RETURN = chr(0xF500 + ord("\r"))  # Ray reads its log as text, in which a return would become the end of a line


class Marked:
    """A stream in place of stdout or stderr: whole lines in, marked lines out."""

    count = itertools.count()
    lock = threading.Lock()

    def __init__(self, stream: int, out: int) -> None:
        self._stream, self._out = stream, out

    def write(self, data: bytes) -> int:
        """Writes lines that end with a newline."""
        with self.lock:
            lines = data.decode().replace("\r", RETURN).split("\n")[:-1]
            marked = "".join(f"{MARK}{self._stream}{next(self.count)} {line}\n" for line in lines).encode()
            while marked:
                marked = marked[os.write(self._out, marked) :]
        return len(data)

    def flush(self) -> None:
        """Does nothing: no output is buffered."""


def main() -> int:
    """Runs the order beside this file; what to exit with."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "order.json")
    with open(path) as file:
        order: dict[str, Any] = json.load(file)
    os.environ.update(order.pop("envs"))
    agent = importlib.import_module("agent")  # beside this file
    bundle = os.path.join(here, "bundle.tar")
    plain = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (SimpleNamespace(buffer=Marked(stream, plain[0].fileno())) for stream in (1, 2))
    runner = agent.Agent(order, bundle if os.path.exists(bundle) else "")
    sys.stdout, sys.stderr = plain
    return int(runner.run())


if __name__ == "__main__":
    os._exit(main())
