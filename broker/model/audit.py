"""The audit log: who did what, or tried to, on what, from where, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DONE: Final = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the log. It never has what was sent, only what it was about."""

    at_ns: int
    user: str  # who asked; empty where nobody knows
    token_id: str  # empty: the Unix socket, or the broker's own token
    action: str  # noun.verb: jobs.cancel
    target: str  # what it was about: an id or a name
    origin: str  # address it came from; `socket` for the Unix socket
    outcome: str  # done, or `refused` and the HTTP status
    seq: int = 0  # its place in the log, once it is there


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries to list, newest first. What is not given does not restrict."""

    user: str | None = None
    action: str | None = None  # or what it begins with: jobs
    since_ns: int | None = None
    until_ns: int | None = None
    before_seq: int | None = None  # the page after the one that ended there
    limit: int = 100
