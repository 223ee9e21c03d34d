"""Transactions of an SQL database: many that read, and one at a time that writes, with the audit log's entry of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from sqlalchemy import Connection, Engine

from broker.model.acting import ACTING, Act
from broker.model.audit import AuditEntry, AuditFilter
from broker.model.errors import StoreAway
from broker.run.store.auditing import append, expire, find
from broker.run.store.engine import is_locked, store_errors
from broker.run.store.together import answered


class Transactions:
    """What each part of the store stands on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        # One writer at a time: SQLite has no more, and rows written together are numbered without gaps.
        self._writing = Lock()
        self._in_vain = (0.0, "")  # when a writer last gave up on a file that another process locks, and what it said

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with store_errors(self._engine.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn to write. Raises StoreAway for all that waited behind one that found the file locked.

        Each for itself would wait in vain once more, one after another.
        """
        since_s = monotonic()
        with self._writing:
            gave_up_s, said = self._in_vain
            if gave_up_s > since_s:
                raise StoreAway(said)
            try:
                yield
            except StoreAway as error:
                if is_locked(error):
                    self._in_vain = (monotonic(), str(error))
                raise

    @contextmanager
    def _write(self, acts: Sequence[Act] = ()) -> Iterator[Connection]:
        """For these requests, or else for the one under way."""
        if not acts and (one := ACTING.get()) is not None:
            acts = (one,)
        with (
            self._turn(),
            store_errors(self._engine.url),
            self._writer.begin() as connection,
            answered(connection),
        ):
            yield connection
            if entries := [act.entry() for act in acts if not act.written]:
                append(connection, entries)
        for act in acts:
            act.written = True

    def append_audit(self, entry: AuditEntry) -> None:
        """Appends an entry of what changed nothing that is stored."""
        with self._write() as connection:
            append(connection, [entry])

    def audit(self, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
        """Entries, newest first."""
        with self._read() as connection:
            return find(connection, wanted)

    def expire_audit(self, before_ns: int) -> int:
        """Forgets entries from before a time, and says how many."""
        with self._write() as connection:
            return expire(connection, before_ns)
