"""Transactions of an SQL database: many that read, and one at a time that writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, Engine

from broker.run.store.engine import store_errors


class Transactions:
    """What each part of the store stands on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        # One writer at a time: SQLite has no more, and rows written together are numbered without gaps.
        self._writing = Lock()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with store_errors(self._engine.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._writing, store_errors(self._engine.url), self._writer.begin() as connection:
            yield connection
