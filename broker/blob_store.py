"""The port to a store of small blobs, which is a part of the store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class BlobStore(Protocol):
    """Keeps bytes under their hash. Every method is one transaction, as all of `Store`."""

    def put_blob(self, sha256: str, data: bytes, at_ns: int) -> None:
        """Keeps bytes; a repeat notes that they were wanted again."""
        ...

    def want_blob(self, sha256: str, at_ns: int) -> bool:
        """Whether it is here; notes that it was wanted."""
        ...

    def blob(self, sha256: str) -> bytes:
        """The bytes. Raises `UnknownName`."""
        ...

    def blob_bytes(self) -> int:
        """How many bytes all of them have."""
        ...

    def drop_blobs(self, before_ns: int, but: Collection[str]) -> int:
        """Drops what nobody has wanted since a time, but these; how many there were."""
        ...

    def blobs_in_use(self) -> frozenset[str]:
        """The hashes that jobs name which have not ended, whether they are here or not."""
        ...
