"""The errors that a user, a provider or an executor can cause; a caller can act on the type.

BrokerError
├── InvalidInput               what a person wrote is wrong: file, line, field, and what to do
│   └── UnknownName            a job, pool, offer or field that does not exist; may carry the nearest name
├── Conflict                   what is asked contradicts what is stored (same id, other content)
│   ├── OverBudget             a budget has no room for it; nothing was stored
│   └── OverQuota              too many jobs of its project wait already; nothing was stored
├── Forbidden                  who asks may not: another's job, or more than a token is good for
├── ExecutorError              an executor could not do what it was asked
│   ├── NoCapacity             try elsewhere, or later
│   ├── Rejected               never: this job can't run in this pool
│   ├── Unreachable            again: the pool did not answer
│   └── Misconfigured          tell a person: credentials, a missing program, a bad setting
├── PriceMissing               no price is known for this thing at this time
├── StoreError                 the store can't be read or written (damaged, wrong version)
│   ├── StoreFull              what is sent has no room, as a setting limits it; nothing was stored
│   ├── StoreAway              it can't be used now (silent, locked, disk full): whether a write was done is not known
│   ├── Unreadable             jobs whose description is stored and can't be read; `job_ids` names them
│   └── LeaseLost              this broker was taken for gone, and another one has what it had
└── DaemonError                the broker's daemon is not there, is another one, or does not answer

A programmer's mistake is a ValueError, not one of these.
"""

from __future__ import annotations

from dataclasses import dataclass


class BrokerError(Exception):
    """Something a user, a provider or an executor caused; `str()` says what, where and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in what a person wrote."""

    message: str  # what is wrong and what to do, without the place
    field: str = ""  # dotted path: resources.accelerators
    file: str = ""  # as the person named it; empty for flags and API bodies
    line: int | None = None  # 1-based

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part)
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InvalidInput(BrokerError):
    """What a person wrote is wrong; nothing was stored or started."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(message=p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownName(InvalidInput):
    """A name that does not exist."""


class Conflict(BrokerError):
    """What is asked contradicts what is stored; nothing was changed."""


class OverBudget(Conflict):
    """A budget that refuses has no room for what was submitted."""


class OverQuota(Conflict):
    """As many jobs of a project wait as may."""


class Forbidden(BrokerError):
    """Who asks may not do it; nothing was changed."""


class ExecutorError(BrokerError):
    """An executor could not do what it was asked."""


class NoCapacity(ExecutorError):
    """The pool has no room for this attempt now: try elsewhere, or later."""


class Rejected(ExecutorError):
    """This job can never run in this pool, whatever the load."""


class Unreachable(ExecutorError):
    """The pool did not answer: the same call may succeed later."""


class Misconfigured(ExecutorError):
    """The pool can't work until a person changes something: the message says what."""


class PriceMissing(BrokerError):
    """No price is known for this thing at this time."""


class StoreError(BrokerError):
    """The store can't be read or written."""


class StoreFull(StoreError):
    """There is no room for what is sent; nothing was stored."""


class StoreAway(StoreError):
    """The database can't be used now: it does not answer, its file is locked, its disk is full.

    Whether what was being written is stored has to be looked up; the same may be done later.
    """


def said(error: Exception) -> str:
    """What an error says; with its type where that is not one of ours, whose words need it."""
    return str(error) if isinstance(error, BrokerError) else f"{type(error).__name__}: {error}"


class Unreadable(StoreError):
    """What is stored of some jobs can't be read: of another version, or damaged. Others can be."""

    def __init__(self, job_ids: frozenset[str], error: Exception) -> None:
        self.job_ids = job_ids
        first, *more = sorted(job_ids)
        who = f"{first} and {len(more)} other jobs" if more else first
        super().__init__(f"what is stored of {who} can't be read: {said(error)}")


class LeaseLost(StoreError):
    """This broker was silent for too long: others have taken over, and it writes nothing any more."""


class DaemonError(BrokerError):
    """The broker's daemon is not there, is another one, or does not answer."""
