"""Output: what a command writes goes through pipes to its files, up to a limit; the rest never reaches the disk."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from executors.on_machine.attempt_dir import AttemptDir

_CHUNK: Final = 1 << 16  # what a pipe holds
_PIPE_MAX: Final = 1 << 20  # what it may be made to hold
_FEW: Final = 16  # chunks: who writes more is listened to by a thread


class _Stream:
    """One stream: the end that the command writes to, the end that is read, and the file, made when something comes."""

    def __init__(self, path: Path, limit: int, files: ExitStack) -> None:
        self._path, self._limit, self._dropped = path, limit, False
        self._file: FileIO | None = None
        self.error = ""
        ends = os.pipe()
        self.reader, self.writer = (
            files.enter_context(os.fdopen(end, how, buffering=0)) for end, how in zip(ends, ("rb", "wb"), strict=True)
        )
        os.set_blocking(ends[0], False)
        files.callback(self._close)

    def copy(self) -> int | None:
        """Copies what is in the pipe, at most a chunk; how many bytes that was, None when no more can come.

        A disk without room closes the pipe, so that the command fails as if it wrote to the file itself.
        """
        data: bytes | None = self.reader.read(_CHUNK)
        if data is None:
            return 0
        if not data:
            return None
        try:
            self._keep(data)
        except OSError as error:
            self.error = error.strerror or str(error)
            self.reader.close()
            return None
        return len(data)

    def _keep(self, data: bytes) -> None:
        if self._file is None:
            self._file = FileIO(self._path, "ab", opener=lambda path, how: os.open(path, how, 0o600))
        room = max(self._limit - os.fstat(self._file.fileno()).st_size, 0)
        self._dropped |= len(data) > room
        _write(self._file, data[:room])

    def drain(self) -> None:
        """Copies what is left in the pipe; what others go on writing to it meanwhile is not waited for."""
        left = 0 if self.reader.closed else _PIPE_MAX
        while left > 0 and (copied := self.copy()):
            left -= copied

    def say_dropped(self) -> None:
        """Says so where something was dropped."""
        if self._dropped and self._file is not None:
            _write(self._file, f"\n[broker: output beyond {self._limit} bytes was dropped]\n".encode())

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()


def _write(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


class Output:
    """The streams of an attempt while its command runs: a context whose pipes are copied by a thread.

    A command that writes without end is neither held up nor able to fill the disk, and nothing of what it writes counts
    against its memory. Where there is an event loop, that does the copying until it becomes much: most short commands
    write little, and to wait for a thread takes longer than they run.
    """

    def __init__(self, folder: AttemptDir, limit: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._folder, self._limit, self._loop = folder, limit, loop
        self._watched: dict[int, _Stream] = {}  # by the loop, by what is read
        self._left = _FEW
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        with ExitStack() as files:
            paths = (self._folder.stdout, self._folder.stderr)
            self._streams = [_Stream(path, self._limit, files) for path in paths]
            self._stop, self._stopping = os.pipe()
            files.callback(os.close, self._stop)
            files.callback(os.close, self._stopping)
            self._files = files.pop_all()
        if self._loop is None:
            self._begin()
        else:
            self._watched = {stream.reader.fileno(): stream for stream in self._streams}
            for file in self._watched:
                self._loop.add_reader(file, self._heard, file)
        return self

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self._thread.start()

    def _heard(self, file: int) -> None:
        """Something is there to be copied, or no more can come."""
        self._left -= 1
        if self._watched[file].copy() is None:
            self._ignore(file)
        elif not self._left:
            self._ignore(*self._watched)
            self._begin()

    def _ignore(self, *files: int) -> None:
        for file in files:
            del self._watched[file]
            if self._loop is not None:
                self._loop.remove_reader(file)

    @property
    def writers(self) -> tuple[int, int]:
        """The descriptors of stdout and stderr for the command."""
        out, err = self._streams
        return out.writer.fileno(), err.writer.fileno()

    def _copy(self) -> None:
        ready = select.poll()
        open_streams = {stream.reader.fileno(): stream for stream in self._streams if not stream.reader.closed}
        for file in (self._stop, *open_streams):
            ready.register(file, select.POLLIN)
        while self._stop not in (found := {file for file, _ in ready.poll()}):
            for file in found:
                if open_streams[file].copy() is None:
                    ready.unregister(file)

    def started(self) -> None:
        """The command has its ends of the pipes: ours are closed."""
        for stream in self._streams:
            stream.writer.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ignore(*self._watched)
        if self._thread is not None:
            os.write(self._stopping, b"x")
            self._thread.join()
        with self._files, suppress(OSError):  # there is no room to say it either
            for stream in self._streams:
                stream.drain()
                stream.say_dropped()

    @property
    def lost(self) -> str:
        """Why some of it could not be written, as the end of a sentence; empty when all was."""
        errors = [stream.error for stream in self._streams if stream.error]
        return f"its output could not be written: {errors[0]}" if errors else ""
