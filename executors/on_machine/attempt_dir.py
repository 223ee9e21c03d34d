"""The folder of an attempt on its node: what it runs, what it wrote, how it ended."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.ports import LogChunk

MOST_RESULT_BYTES: Final = 256 * 2**20  # of what a function returns: it is read in one go
_FEW_BYTES: Final = 500
_SMALL: Final = 1 << 16  # bytes that are read at once: to wait for a thread takes longer


@dataclass(frozen=True, slots=True)
class AttemptDir:
    """Paths in the folder of one attempt; with a rank, of one node's share of it.

    Nodes of one machine share the folder: streams and the mark of cancellation are the attempt's, the rest is each
    rank's own.
    """

    path: Path
    rank: int | None = None

    @property
    def own(self) -> Path:
        """Where it keeps what is not shared."""
        return self.path if self.rank is None else self.path / f"rank-{self.rank}"

    def make(self) -> None:
        """Makes it, readable by its owner only. Streams are made when something is written to them."""
        self.own.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def stdout(self) -> Path:
        """What it wrote to stdout."""
        return self.path / "stdout"

    @property
    def stderr(self) -> Path:
        """What it wrote to stderr."""
        return self.path / "stderr"

    @property
    def work(self) -> Path:
        """Its working directory."""
        return self.own / "work"

    @property
    def secrets(self) -> Path:
        """Its secrets that are in files, while it runs."""
        return self.own / "secrets"

    @property
    def result(self) -> Path:
        """What a function returned or raised; rank 0 speaks for all."""
        return (self.own if self.rank else self.path) / "result"

    @property
    def root_pid(self) -> Path:
        """The process under which all of it runs."""
        return self.own / "root_pid"

    @property
    def cancelled(self) -> Path:
        """Exists once its end was asked for."""
        return self.path / "cancelled"

    @property
    def order(self) -> Path:
        """What to run, for a runner that is started as a program; removed once read, as it may hold secrets."""
        return self.own / "order"

    @property
    def end(self) -> Path:
        """How it ended, as JSON."""
        return self.own / "end.json"

    def write_end(self, end: dict[str, Any]) -> None:
        """Says how it ended, in one step."""
        draft = self.own / ".end.json"
        self.write_private(draft, json.dumps(end).encode())
        draft.replace(self.end)

    def close_if_open(self, end: dict[str, Any]) -> None:
        """Says how it ended where nobody has said so: its runner is gone, or never came."""
        if self.end.exists():
            return
        try:
            self.write_end(end)
        except FileNotFoundError:
            self.make()
            self.write_end(end)

    def read_end(self) -> dict[str, Any] | None:
        """How it ended; None while it has not."""
        try:
            found: dict[str, Any] = json.loads(self.end.read_text())
        except FileNotFoundError:
            return None
        return found

    def write_private(self, path: Path, data: bytes) -> None:
        """Writes a file that only the owner can read."""
        with open(path, "wb", opener=lambda path, how: os.open(path, how, 0o600)) as file:
            file.write(data)

    def first_words(self) -> str:
        """How what it wrote to stderr begins."""
        return read_stream(self, "stderr", 0, _FEW_BYTES).data.decode(errors="replace").strip()


def read_stream(folder: AttemptDir, stream: str, offset: int, limit: int) -> LogChunk:
    """A piece of a stream. Raises KeyError where there is no such attempt."""
    if not folder.path.is_dir():
        raise KeyError(folder.path.name)
    ended = folder.end.exists()
    path = folder.stdout if stream == "stdout" else folder.stderr
    data = b""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offset)
        data = file.read(limit)
    return LogChunk(data=data, next_offset=offset + len(data), complete=ended and len(data) < limit)


def read_result(folder: AttemptDir) -> bytes | None:
    """What a function returned or raised; None while there is nothing. Raises KeyError for an unknown attempt."""
    if not folder.path.is_dir():
        raise KeyError(folder.path.name)
    if not (folder.end.exists() and folder.result.exists()):
        return None
    with folder.result.open("rb") as file:
        data = file.read(MOST_RESULT_BYTES + 1)  # what was left running may have made it longer since it ended
    return data if len(data) <= MOST_RESULT_BYTES else None


async def stream_piece(folder: AttemptDir, stream: str, offset: int, limit: int) -> LogChunk:
    """The same as `read_stream`, for an event loop."""
    path = folder.stdout if stream == "stdout" else folder.stderr
    if min(_size(path) - offset, limit) <= _SMALL:
        return read_stream(folder, stream, offset, limit)
    return await asyncio.to_thread(read_stream, folder, stream, offset, limit)


async def result_of(folder: AttemptDir) -> bytes | None:
    """The same as `read_result`, for an event loop."""
    return read_result(folder) if _size(folder.result) <= _SMALL else await asyncio.to_thread(read_result, folder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
