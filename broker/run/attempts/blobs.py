"""Blobs: functions and their arguments under their hash, small ones in the store, large ones in files of their own.

What is here twice is kept once. A job that was submitted finds its blobs until it has ended, and for as long as logs.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final

from broker.model.errors import InvalidInput, Problem, StoreError
from broker.model.jobs import FunctionCall
from broker.model.money import NS_PER_S
from broker.ports import Clock, Store
from broker.run.attempts.blob_room import Room

SMALL: Final = 1 << 16  # bytes; up to here, whoever shares the store has it as well
_IN_MEMORY: Final = 8 << 20  # bytes of small ones that are kept at hand
_DRAFTS: Final = "drafts"  # a folder beside those of the first letters of hashes
_NOTED_NS: Final = 60 * NS_PER_S  # how soon after one was wanted it need not be noted again


class Blobs:
    """Keeps blobs. `StoreError` when it can't be done."""

    def __init__(self, folder: Path, store: Store, clock: Clock, most_bytes: int = 50 * 10**9) -> None:
        """They may have `most_bytes` together."""
        self.folder = folder
        self.room = Room(most_bytes, self._bytes)
        self._store = store
        self._clock = clock
        self._recent = _Recent()

    def at_hand(self, call: FunctionCall) -> bool:
        """Whether a function and its arguments are in memory."""
        return all(name is None or self._recent.get(name) is not None for name in (call.blob, call.inputs))

    def lately_wanted(self, sha256: str) -> bool:
        """Whether it is here for certain, as somebody has wanted it a moment ago."""
        return self._recent.noted_ns(sha256) > self._clock.now_ns() - _NOTED_NS

    def hold(self, small: Iterable[tuple[str, bytes]]) -> None:
        """Has small ones at hand that the store is about to be given with a job."""
        for sha256, data in small:
            self._recent.put(sha256, data)

    def came(self, kept: Iterable[tuple[str, bytes]]) -> None:
        """Takes note of small ones that the store was given with a job."""
        for sha256, data in kept:
            self._recent.put(sha256, data)
            self._recent.note(sha256, self._clock.now_ns())

    def _bytes(self) -> int:
        """All that are kept."""
        files = [file for file in self.folder.glob("*/*") if file.parent.name != _DRAFTS]
        return self._store.blob_bytes() + sum(map(_size, files))

    def draft(self, sha256: str) -> Draft:
        """What is to be kept under a hash, to be written piece by piece."""
        return Draft(self, sha256)

    def has(self, sha256: str) -> bool:
        """Whether it is here; it is kept for as long as if it had just come."""
        if self.lately_wanted(sha256):
            return True
        now_ns = self._clock.now_ns()
        with suppress(FileNotFoundError):
            os.utime(self._file(sha256))
            return True
        if there := self._store.want_blob(sha256, now_ns):
            self._recent.note(sha256, now_ns)
        return there

    def size(self, sha256: str) -> int:
        """Its bytes. Raises `UnknownName`."""
        if (data := self._recent.get(sha256)) is not None:
            return len(data)
        with suppress(FileNotFoundError):
            return self._file(sha256).stat().st_size
        return len(self._small(sha256))

    def read(self, sha256: str, start: int = 0, end: int | None = None) -> bytes:
        """Its bytes from `start` to `end`. Raises `UnknownName`."""
        if (data := self._recent.get(sha256)) is not None:
            return data[start:end]
        with suppress(FileNotFoundError), self._file(sha256).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)
        return self._small(sha256)[start:end]

    def _small(self, sha256: str) -> bytes:
        data = self._store.blob(sha256)
        self._recent.put(sha256, data)
        return data

    def expire(self, before_ns: int) -> int:
        """Drops what nobody has wanted since a time, but what jobs name that have not ended; how many."""
        self._recent.clear()
        used = self._store.blobs_in_use()
        dropped = self._store.drop_blobs(before_ns, used)
        for file in self.folder.glob("*/*") if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime_ns < before_ns and file.name not in used:
                    file.unlink()
                    dropped += 1
        self.room.forget()
        return dropped

    def keep(self, sha256: str, small: bytes | None, file: Path | None) -> None:
        """Keeps what a draft has written."""
        if small is not None:
            self._store.put_blob(sha256, small, self._clock.now_ns())
            self.came([(sha256, small)])
        elif file is not None:
            place = self._file(sha256)
            with _kept_in(place):
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                file.replace(place)

    def new_file(self) -> Path:
        """Where a draft may be written."""
        drafts = self.folder / _DRAFTS
        drafts.mkdir(parents=True, exist_ok=True, mode=0o700)
        return drafts / secrets.token_hex(16)

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


class _Recent:
    """Small blobs that were used last, in memory, with when the store was told that they are wanted."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._data: OrderedDict[str, bytes] = OrderedDict()
        self._noted: dict[str, int] = {}
        self._bytes = 0

    def get(self, sha256: str) -> bytes | None:
        with self._lock:
            if (data := self._data.get(sha256)) is not None:
                self._data.move_to_end(sha256)
            return data

    def put(self, sha256: str, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._data.get(sha256, b""))
            self._data[sha256] = data
            self._data.move_to_end(sha256)
            while self._bytes > _IN_MEMORY:
                name, dropped = self._data.popitem(last=False)
                self._noted.pop(name, None)
                self._bytes -= len(dropped)

    def noted_ns(self, sha256: str) -> int:
        """When the store was told; 0 where it was not."""
        return self._noted.get(sha256, 0)

    def note(self, sha256: str, at_ns: int) -> None:
        with self._lock:
            if sha256 in self._data:
                self._noted[sha256] = at_ns

    def clear(self) -> None:
        with self._lock:
            self._data.clear()
            self._noted.clear()
            self._bytes = 0


class Draft:
    """A blob while it comes; it is kept where `commit` was called, and gone otherwise."""

    def __init__(self, blobs: Blobs, sha256: str) -> None:
        self._blobs = blobs
        self._sha256 = sha256
        self._hash = hashlib.sha256()
        self._small = bytearray()
        self._path: Path | None = None
        self._coming = 0  # bytes of room that were taken for it
        self.size = 0

    def write(self, data: bytes) -> None:
        """Takes the next piece. Raises `StoreFull`, and `StoreError` when the disk takes it not."""
        self._blobs.room.take(len(data))
        self._coming += len(data)
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
        known = self._blobs.has(self._sha256)
        self._blobs.keep(self._sha256, bytes(self._small) if self._path is None else None, self._path)
        self._path = None
        self._blobs.room.came(self._coming, new=not known)
        self._coming = 0

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._blobs.room.came(self._coming, new=False)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # it was dropped, or got its place, meanwhile
        return 0


@contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    """Turns what the disk refuses into StoreError."""
    try:
        yield
    except OSError as error:
        said = f"arguments of functions can't be kept in {place} ({error.strerror})"
        raise StoreError(f"{said}: make room there, or correct its rights") from error
