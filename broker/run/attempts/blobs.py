"""Blobs: functions and their arguments under their hash, small ones in the store, large ones in files of their own.

What is here twice is kept once. A job that was submitted finds its blobs until it has ended, and for as long as logs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from broker.model.errors import InvalidInput, Problem, StoreError
from broker.ports import Clock, Store

SMALL: Final = 1 << 16  # bytes; up to here, whoever shares the store has it as well


class Blobs:
    """Keeps blobs. `StoreError` when it can't be done."""

    def __init__(self, folder: Path, store: Store, clock: Clock) -> None:
        self.folder = folder
        self._store = store
        self._clock = clock

    def draft(self, sha256: str) -> Draft:
        """What is to be kept under a hash, to be written piece by piece."""
        return Draft(self, sha256)

    def has(self, sha256: str) -> bool:
        """Whether it is here; it is kept for as long as if it had just come."""
        with suppress(FileNotFoundError):
            os.utime(self._file(sha256))
            return True
        return self._store.want_blob(sha256, self._clock.now_ns())

    def size(self, sha256: str) -> int:
        """Its bytes. Raises `UnknownName`."""
        with suppress(FileNotFoundError):
            return self._file(sha256).stat().st_size
        return len(self._store.blob(sha256))

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> bytes:
        """Its bytes from `start` to `end`. Raises `UnknownName`."""
        with suppress(FileNotFoundError), self._file(sha256).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)
        return self._store.blob(sha256)[start:end]

    def expire(self, before_ns: int) -> int:
        """Drops what nobody has wanted since a time, but what jobs name that have not ended; how many."""
        used = self._store.blobs_in_use()
        dropped = self._store.drop_blobs(before_ns, used)
        for file in self.folder.glob("*/*") if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime_ns < before_ns and file.name not in used:
                    file.unlink()
                    dropped += 1
        return dropped

    def keep(self, sha256: str, small: bytes | None, file: Path | None) -> None:
        """Keeps what a draft has written."""
        if small is not None:
            self._store.put_blob(sha256, small, self._clock.now_ns())
        elif file is not None:
            place = self._file(sha256)
            with _kept_in(place):
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                file.replace(place)

    def new_file(self) -> Path:
        """Where a draft may be written."""
        drafts = self.folder / "drafts"
        drafts.mkdir(parents=True, exist_ok=True, mode=0o700)
        return drafts / secrets.token_hex(16)

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


class Draft:
    """A blob while it comes; it is kept where `commit` was called, and gone otherwise."""

    def __init__(self, blobs: Blobs, sha256: str) -> None:
        self._blobs = blobs
        self._sha256 = sha256
        self._hash = hashlib.sha256()
        self._small = bytearray()
        self._path: Path | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """Takes the next piece. Raises `StoreError` when the disk takes it not."""
        self._hash.update(data)
        self.size += len(data)
        self._small += data
        if len(self._small) > SMALL:
            self._spill()

    def _spill(self) -> None:
        with _kept_in(self._blobs.folder):
            self._path = self._path or self._blobs.new_file()
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                file.write(self._small)
        self._small.clear()

    def commit(self) -> None:
        """Keeps it. Raises `InvalidInput` when it has another hash."""
        if (found := self._hash.hexdigest()) != self._sha256:
            raise InvalidInput(Problem(field="sha256", message=f"is {self._sha256}, but the content has {found}"))
        if self._path is not None and self._small:
            self._spill()
        self._blobs.keep(self._sha256, bytes(self._small) if self._path is None else None, self._path)
        self._path = None

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    """Turns what the disk refuses into StoreError."""
    try:
        yield
    except OSError as error:
        said = f"arguments of functions can't be kept in {place} ({error.strerror})"
        raise StoreError(f"{said}: make room there, or correct its rights") from error
