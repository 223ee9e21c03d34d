"""Masking: values of a job's secrets in what it writes → asterisks, as many as the value has bytes.

So that offsets stay what they are. Every version of a secret that is known is masked, of a value of several lines each
line; what is shorter than `SHORTEST` is not, as it would be found everywhere. A value that a job writes in another
form, as in base64, is not found.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from broker.model.jobs import JobSpec
from broker.ports import LogChunk, SecretSource

SHORTEST: Final = 6  # bytes
FRESH_S: Final = 2.0  # how old a mask may be; a secret that was just set is first used by a launch after that
_MASK: Final = b"*"
Read = Callable[[int, int], Awaitable[LogChunk]]  # offset, limit


class Mask:
    """The values to mask in one job's output."""

    def __init__(self, values: Iterable[str]) -> None:
        lines = {line.strip() for value in values for line in value.splitlines()}
        self._values = sorted(each for line in lines if len(each := line.encode()) >= SHORTEST)
        self.longest = max(map(len, self._values), default=0)

    def __bool__(self) -> bool:
        return bool(self._values)

    def masked(self, data: bytes) -> bytes:
        """The same with values masked, also where they overlap."""
        masked = bytearray(data)
        for value in self._values:
            at = data.find(value)
            while at >= 0:
                masked[at : at + len(value)] = _MASK * len(value)
                at = data.find(value, at + 1)
        return bytes(masked)

    def text(self, text: str) -> str:
        """The same with values masked."""
        return self.masked(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def begun(self, data: bytes) -> int:
        """How many of the last bytes may be the beginning of a value."""
        return max((_begun(data, value) for value in self._values), default=0)

    async def read(self, read: Read, offset: int, limit: int) -> LogChunk:
        """A piece of a stream, masked; values that lie across its ends as well.

        What may be the beginning of a value at the end of what is there so far comes once more is there.
        """
        if not self:
            return await read(offset, limit)
        around = self.longest - 1
        begin = max(offset - around, 0)
        chunk = await read(begin, offset - begin + limit + around)
        data = self.masked(chunk.data)
        until = offset - begin + limit
        if not chunk.complete:
            until = min(until, len(data) - self.begun(chunk.data))
        piece = data[offset - begin : until]
        complete = chunk.complete and until >= len(data)
        return LogChunk(data=piece, next_offset=offset + len(piece), complete=complete)


def _begun(data: bytes, value: bytes) -> int:
    at = data.find(value[:1], max(len(data) - len(value) + 1, 0))
    while at >= 0 and not value.startswith(data[at:]):
        at = data.find(value[:1], at + 1)
    return len(data) - at if at >= 0 else 0


class Masks:
    """The masks of jobs, by the names of their secrets, while those are asked for."""

    def __init__(self, secrets: SecretSource) -> None:
        self._secrets = secrets
        self._made: dict[tuple[str, ...], tuple[float, Mask]] = {}

    def of(self, spec: JobSpec) -> Mask:
        """The mask of a job; empty where it has no secrets. Raises `InvalidInput`, `StoreError`: show nothing then."""
        if not spec.named_secrets:
            return NOTHING
        made_s, mask = self._made.get(spec.named_secrets, (0.0, NOTHING))
        now_s = time.monotonic()
        if now_s - made_s > FRESH_S:
            mask = Mask(self._secrets.known(spec.named_secrets))
            self._made = {names: made for names, made in self._made.items() if now_s - made[0] <= FRESH_S}
            self._made[spec.named_secrets] = now_s, mask
        return mask

    def forget(self) -> None:
        """Secrets have changed."""
        self._made = {}


NOTHING: Final = Mask(())
