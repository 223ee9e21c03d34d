"""What a job has written → its last lines, and what is written after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.sdk.client import Client
    from broker.sdk.events import StreamName, Wrote


def start_of_last(lines: int, pieces: Iterable[bytes]) -> int:
    """The byte at which the last `lines` lines of a text begin, which comes in pieces."""
    begin: deque[int] = deque([0], maxlen=lines + 1)
    size = 0
    for piece in pieces:
        at = piece.find(b"\n")
        while at >= 0:
            begin.append(size + at + 1)
            at = piece.find(b"\n", at + 1)
        size += len(piece)
    if begin[-1] == size:
        begin.pop()  # nothing follows the last line
    first = len(begin) - lines
    return size if not begin or not lines else begin[max(first, 0)]


class Tail:
    """The end of what one attempt has written so far to each stream."""

    def __init__(
        self, connected: Client, job_id: str, lines: int, attempt: int | None, streams: Iterable[StreamName]
    ) -> None:
        self.attempt = connected.logs(job_id, attempt=attempt, limit=1).attempt
        self.before: dict[StreamName, int] = dict.fromkeys(streams, 0)  # bytes of each stream that are not in it
        for stream in self.before if self.attempt else ():
            self.before[stream] = start_of_last(lines, connected.output(job_id, stream, attempt=self.attempt))

    def of(self, wrote: Wrote) -> bytes:
        """What of a followed job's output is in it, or comes after."""
        if wrote.attempt != self.attempt:
            return wrote.data if wrote.attempt > self.attempt else b""
        skipped = min(self.before[wrote.stream], len(wrote.data))
        self.before[wrote.stream] -= skipped
        return wrote.data[skipped:]
