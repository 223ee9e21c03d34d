"""How many bytes blobs take together → whether there is room for more: a token that submits must not fill the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from broker.model.errors import StoreFull

COUNTED_S: Final = 5.0  # how old a count may be when something is refused by it: others drop blobs, too


class Room:
    """Room for `most_bytes`. What comes is added to what was counted; what others keep is seen by counting again."""

    def __init__(self, most_bytes: int, count: Callable[[], int]) -> None:
        """`count` says how many bytes are kept."""
        self._most_bytes, self._count = most_bytes, count
        self._lock = Lock()
        self._kept: int | None = None
        self._counted_s = 0.0
        self._coming = 0  # of what has not come whole

    def take(self, size: int) -> None:
        """Takes room for so many bytes that come. Raises `StoreFull`. May count, which reads the store and the disk."""
        with self._lock:
            if self._kept is None or (not self._fits(size) and time.monotonic() - self._counted_s >= COUNTED_S):
                self._kept, self._counted_s = self._count(), time.monotonic()
            if not self._fits(size):
                raise no_room(self._kept, self._most_bytes)
            self._coming += size

    def take_at_hand(self, size: int) -> bool:
        """Takes it where that needs no count; whether it did."""
        if not self._fits(size):
            return False
        with self._lock:
            if fits := self._fits(size):
                self._coming += size
            return fits

    def came(self, size: int, *, new: bool) -> None:
        """So many bytes come no more: they are kept; or with `new` false they were here before, or are not kept."""
        with self._lock:
            self._coming -= size
            if new and self._kept is not None:
                self._kept += size

    def forget(self) -> None:
        """Some were dropped: it is counted again."""
        with self._lock:
            self._kept = None

    def _fits(self, size: int) -> bool:
        return (kept := self._kept) is not None and kept + self._coming + size <= self._most_bytes


def no_room(taken: int, most_bytes: int) -> StoreFull:
    """The error where there is none."""
    return StoreFull(
        f"functions and arguments have {taken:,} of the {most_bytes:,} bytes that they may have together "
        "(`logs.max_blobs`): they are dropped `logs.keep` after they were last wanted; pass large data in a volume or "
        "a bucket, or have the limit raised"
    )
