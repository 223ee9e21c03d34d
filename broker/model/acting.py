"""The request that is being carried out, so that the store can write who did it beside what it does.

It is found by context: whatever runs for the request, in threads as well, is in the same one; nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from itertools import islice
from typing import Final

from broker.model.audit import AuditEntry

LONGEST_TARGET: Final = 300


class Act:
    """One request that changes something."""

    def __init__(self, entry: Callable[[str], AuditEntry]) -> None:
        """`entry` makes the log's entry, of what the act turned out to be about."""
        self._entry = entry
        self._targets: dict[str, None] = {}
        self.written = False  # its entry is in the log

    def about(self, target: str) -> None:
        """Says what it is about, where its path does not."""
        self._targets[target] = None

    def entry(self) -> AuditEntry:
        """What the log is to say of it."""
        said = ", ".join(islice(self._targets, LONGEST_TARGET))
        return self._entry(said if len(said) <= LONGEST_TARGET else f"{said[: LONGEST_TARGET - 1]}…")


ACTING: Final[ContextVar[Act | None]] = ContextVar("acting", default=None)


def about(target: str, act: Act | None = None) -> None:
    """Says what a request, or else the one under way, if any, is about."""
    if (act := act or ACTING.get()) is not None:
        act.about(target)
