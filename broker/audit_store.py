"""The port to a store of the audit log, which is a part of the store."""

from __future__ import annotations

from typing import Protocol

from broker.model.audit import AuditEntry, AuditFilter


class AuditStore(Protocol):
    """Keeps the audit log, which only grows. Every method is one transaction, as all of `Store`.

    While `broker.model.acting` has a request under way, its entry is written with the first change that it makes, in
    the same transaction: there is no change without an entry, and no entry of a change that was not made.
    """

    def append_audit(self, entry: AuditEntry) -> None:
        """Appends an entry of what changed nothing that is stored."""
        ...

    def audit(self, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
        """Entries, newest first."""
        ...

    def expire_audit(self, before_ns: int) -> int:
        """Forgets entries from before a time, and says how many."""
        ...
