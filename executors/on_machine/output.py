"""Output: what a command writes goes through pipes to its files, up to a limit; the rest never reaches the disk."""

from __future__ import annotations

import os
import select
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from executors.on_machine.attempt_dir import AttemptDir

_CHUNK: Final = 1 << 16  # what a pipe holds
_PIPE_MAX: Final = 1 << 20  # what it may be made to hold


class _Stream:
    """One stream: the end that the command writes to, the end that is read, and the file."""

    def __init__(self, path: Path, limit: int, files: ExitStack) -> None:
        self._limit, self._dropped = limit, False
        self.error = ""
        ends = os.pipe()
        self.reader, self.writer = (
            files.enter_context(os.fdopen(end, how, buffering=0)) for end, how in zip(ends, ("rb", "wb"), strict=True)
        )
        os.set_blocking(ends[0], False)
        how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = files.enter_context(os.fdopen(os.open(path, how, 0o600), "wb", buffering=0))

    def copy(self) -> int | None:
        """Copies what is in the pipe, at most a chunk; how many bytes that was, None when no more can come.

        A disk without room closes the pipe, so that the command fails as if it wrote to the file itself.
        """
        data: bytes | None = self.reader.read(_CHUNK)
        if data is None:
            return 0
        room = max(self._limit - os.fstat(self._file.fileno()).st_size, 0)
        self._dropped |= len(data) > room
        try:
            self._write(data[:room])
        except OSError as error:
            self.error = error.strerror or str(error)
            self.reader.close()
            return None
        return len(data) or None

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) :]

    def drain(self) -> None:
        """Copies what is left in the pipe; what others go on writing to it meanwhile is not waited for."""
        left = 0 if self.reader.closed else _PIPE_MAX
        while left > 0 and (copied := self.copy()):
            left -= copied

    def _keep(self, data: bytes) -> None:
        room = max(self._limit - os.fstat(self._file.fileno()).st_size, 0)
        if len(data) > room:
            self._dropped = True
        try:
            self._file.write(data[:room])
        except OSError:  # the disk is full: the command is not to wait for it
            self._dropped = True

    def close(self) -> None:
        """Says what was dropped."""
        if self._dropped:
            self._write(f"\n[broker: output beyond {self._limit} bytes was dropped]\n".encode())


class Output:
    """The streams of an attempt while its command runs: a context whose pipes are copied by a thread.

    A command that writes without end is neither held up nor able to fill the disk, and nothing of what it writes counts
    against its memory.
    """

    def __init__(self, folder: AttemptDir, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def __enter__(self) -> Self:
        with ExitStack() as files:
            paths = (self._folder.stdout, self._folder.stderr)
            self._streams = [_Stream(path, self._limit, files) for path in paths]
            self._stop, self._stopping = os.pipe()
            files.callback(os.close, self._stop)
            files.callback(os.close, self._stopping)
            self._files = files.pop_all()
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self._thread.start()
        return self

    @property
    def writers(self) -> tuple[int, int]:
        """The descriptors of stdout and stderr for the command."""
        out, err = self._streams
        return out.writer.fileno(), err.writer.fileno()

    def _copy(self) -> None:
        ready = select.poll()
        open_streams = {stream.reader.fileno(): stream for stream in self._streams}
        for file in (self._stop, *open_streams):
            ready.register(file, select.POLLIN)
        while self._stop not in (found := {file for file, _ in ready.poll()}):
            for file in found:
                if open_streams[file].copy() is None:
                    ready.unregister(file)
        for stream in self._streams:
            stream.drain()

    def started(self) -> None:
        """The command has its ends of the pipes: ours are closed."""
        for stream in self._streams:
            stream.writer.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.write(self._stopping, b"x")
        self._thread.join()
        with self._files, suppress(OSError):  # there is no room to say it either
            for stream in self._streams:
                stream.close()

    @property
    def lost(self) -> str:
        """Why some of it could not be written, as the end of a sentence; empty when all was."""
        errors = [stream.error for stream in self._streams if stream.error]
        return f"its output could not be written: {errors[0]}" if errors else ""
