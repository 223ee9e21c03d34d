"""The audit log ↔ rows. They are appended, and forgotten when they are old, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, or_, select

from broker.model.audit import AuditEntry, AuditFilter
from broker.run.store.tenancy_tables import audit

_APPEND: Final = insert(audit).inline()


def append(connection: Connection, entries: Iterable[AuditEntry]) -> None:
    """Appends entries, of which there is one or more."""
    values = [
        {
            "at_ns": entry.at_ns,
            "user_name": entry.user,
            "token_id": entry.token_id,
            "action": entry.action,
            "target": entry.target,
            "origin": entry.origin,
            "outcome": entry.outcome,
        }
        for entry in entries
    ]
    connection.execute(_APPEND, values)


def find(connection: Connection, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
    """Entries, newest first."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(wanted.limit)
    if wanted.user is not None:
        query = query.where(audit.c.user_name == wanted.user)
    if wanted.action is not None:
        below = audit.c.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where(or_(audit.c.action == wanted.action, below))
    if wanted.since_ns is not None:
        query = query.where(audit.c.at_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        query = query.where(audit.c.at_ns < wanted.until_ns)
    if wanted.before_seq is not None:
        query = query.where(audit.c.seq < wanted.before_seq)
    return tuple(map(_entry, connection.execute(query)))


def expire(connection: Connection, before_ns: int) -> int:
    """Forgets entries from before a time, and says how many."""
    return int(connection.execute(delete(audit).where(audit.c.at_ns < before_ns)).rowcount)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        at_ns=row.at_ns,
        user=row.user_name,
        token_id=row.token_id,
        action=row.action,
        target=row.target,
        origin=row.origin,
        outcome=row.outcome,
        seq=row.seq,
    )
