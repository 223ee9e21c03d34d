"""A stream of lines that comes from a container → the attempt's file; and what the agent tells between them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from executors.on_machine.attempt_dir import MOST_RESULT_BYTES
from executors.remote.lines import Frame, decoded, frame


class Copy:
    """Copies one stream. It may begin again from its start as often as the connection is lost."""

    def __init__(self, path: Path, told: Callable[[Frame], None]) -> None:
        self._path, self._told = path, told
        self._seen = 0  # bytes of this reading, of which the file has some already
        self._result = bytearray()
        self._result_bytes = 0
        self._file: BinaryIO | None = None
        self.lost = ""  # why some of it could not be written

    def begin(self) -> None:
        """The stream is read from its start."""
        self._seen = 0
        self._result.clear()
        self._result_bytes = 0

    def take(self, line: str) -> None:
        """One line more."""
        known = frame(line)
        if known is None:
            self._keep(decoded(line))
        elif known["kind"] == "result":
            self._take_result(base64.b64decode(known["data"]))
        else:
            self._told(known)

    @property
    def result(self) -> bytes:
        """What a function returned or raised; empty where there was nothing."""
        return bytes(self._result)

    @property
    def seen(self) -> int:
        """Bytes of this reading."""
        return self._seen

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take_result(self, data: bytes) -> None:
        """A piece of it; of one that is too long to be read in one go, nothing is kept."""
        self._result_bytes += len(data)
        if self._result_bytes <= MOST_RESULT_BYTES:
            self._result += data
            return
        self._result.clear()
        self.lost = self.lost or f"its result is dropped: it has more than {MOST_RESULT_BYTES:,} bytes"

    def _keep(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(data[max(self._file.tell() - self._seen, 0) :])
        except OSError as error:  # the command goes on, and its end says what is missing
            self.lost = self.lost or f"its output could not be written: {error.strerror}"
        self._seen += len(data)


async def until_silent(copies: Iterable[Copy], read: asyncio.Future[Any], silence_s: float) -> None:
    """Waits until all is `read`, for as long as any of it comes: what is much, or comes slowly, takes its time."""
    before = -1
    while not read.done() and (seen := sum(copy.seen for copy in copies)) != before:
        before = seen
        await asyncio.wait({read}, timeout=silence_s)
