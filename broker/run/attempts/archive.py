"""The archive: logs and results of ended attempts, copied out of their executors so that these may forget them.

One folder an attempt; an empty stream is an empty file, so that a folder says by its existence that the copy is whole,
and an empty folder that it was dropped when it had been kept long enough.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from broker.ports import Executor, LogChunk, Stream
from broker.run.secrecy.masking import NOTHING, Mask, Read

_PIECE = 1 << 20
_STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")


class Archive:
    """Keeps what attempts wrote, under a folder of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def holds(self, attempt_id: str) -> bool:
        """Whether the attempt was copied whole."""
        return (self._root / attempt_id).is_dir()

    async def keep(self, executor: Executor, attempt_id: str, mask: Mask = NOTHING) -> None:
        """Copies an ended attempt's masked streams and result; a repeat begins anew. Raises as the executor does."""
        draft = self._root / f".{attempt_id}"
        try:
            draft.mkdir(mode=0o700)
        except FileExistsError:  # of a broker that died over it
            shutil.rmtree(draft)
            draft.mkdir(mode=0o700)
        for stream in _STREAMS:
            await self._copy(partial(executor.logs, attempt_id, stream), mask, draft / stream)
        result = await executor.result(attempt_id)
        if result is not None:
            (draft / "result").write_bytes(result)
        draft.replace(self._root / attempt_id)

    async def _copy(self, read: Read, mask: Mask, target: Path) -> None:
        offset = 0
        with target.open("wb") as out:
            while True:
                chunk = await mask.read(read, offset, _PIECE)
                out.write(chunk.data)
                if chunk.complete or not chunk.data:
                    return
                offset = chunk.next_offset

    def expire(self, before_ns: int) -> int:
        """Drops what was copied before a time; an empty folder stays and says so. Returns how many were dropped."""
        old = [
            folder
            for folder in self._root.iterdir()
            if folder.stat().st_mtime_ns < before_ns and (folder / "stdout").exists()
        ]
        for folder in old:
            for file in folder.iterdir():
                file.unlink()
        return len(old)

    def expired(self, attempt_id: str) -> bool:
        """Whether the attempt was copied, and the copy dropped."""
        return self.holds(attempt_id) and not (self._root / attempt_id / "stdout").exists()

    def logs(self, attempt_id: str, stream: Stream, offset: int, limit: int) -> LogChunk:
        """A piece of a kept stream. Raises KeyError for an attempt that is not here."""
        path = self._root / attempt_id / stream
        if not path.exists():
            raise KeyError(attempt_id)
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(limit)
            end = file.tell()
        return LogChunk(data=data, next_offset=end, complete=end >= path.stat().st_size)

    def result(self, attempt_id: str) -> bytes | None:
        """What a function returned or raised, as the executor gave it; None for a command."""
        path = self._root / attempt_id / "result"
        return path.read_bytes() if path.exists() else None
