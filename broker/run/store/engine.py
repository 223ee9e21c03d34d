"""URL → engine with its tables in place, and database errors → StoreError that says what, where and what to do."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InvalidatePoolError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from broker.model.errors import StoreAway, StoreError
from broker.run.heard import heard

# The newest migration: a database marked with it needs none, so that Alembic is not imported. A test compares.
SCHEMA: Final = "0019"
_MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"
_BUSY_S: Final = 10.0
_CONNECT_S: Final = 10
# SQLSTATE: no connection, shut down or starting up, idle for too long, disk or memory full, disk failing
_AWAY: Final = ("08", "57", "25", "53", "58")
_FILE_AWAY: Final = frozenset(  # what an SQLite file does not stay for ever; the rest is said of what it has in it
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
# A broker that stands still in a transaction must not keep others from taking over: the server ends it.
_IDLE_S: Final = 10
_LOST_BEFORE: Final = "8s2b"  # SQLAlchemy's code: the connection was lost at an earlier statement of the transaction
_LIVES_S: Final = 1.0  # a connection that was used a moment ago, and has said nothing since, is not asked if it lives
_SILENT_S: Final = 20  # a server that does not even acknowledge what it is sent is away
_ADVICE: Final = (
    ("disk is full", "the disk is full: free space there"),
    ("no space left", "the disk is full: free space there"),
    ("locked", "another process keeps it locked: end that process, or wait"),
    ("permission denied", "access is denied: check the rights, or the user and password in the URL"),
    ("i/o error", "the disk can't be read or written: check it"),
    ("authentication failed", "the database refuses the login: check the user and password in the URL"),
    ("does not exist", "it does not exist: create the database, or correct the URL"),
)
_ADVICE_ON_FILES: Final = (
    ("readonly", "it can't be written: check the rights of the file and its folder"),
    ("no such file", "it is not there: check the path, and make its folder"),
    ("is a directory", "this is a folder: name a file in it"),
    ("unable to open", "it can't be opened: check that the folder exists and may be written"),
    ("not a database", "the file is not a store: name another file, or move this one away"),
    ("malformed", "the file is damaged: restore it from a backup"),
)


def connect(url: str) -> Engine:
    """An engine whose database has the tables of this version. Raises StoreError."""
    parsed = _parse(url)
    with store_errors(parsed):
        try:
            engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
        except ModuleNotFoundError as error:
            raise StoreError(f"the store {shown(parsed)} needs the package {error.name}: install it") from error
        try:
            _upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


def shown(url: URL) -> str:
    """The URL for people: without its password and options."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


@contextmanager
def store_errors(url: URL) -> Iterator[None]:
    """Turns what the database raises into StoreError. Neither SQL nor the password is in the message."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        kind = StoreAway if _is_away(error) else StoreError
        raise kind(f"store {shown(url)}: {_advice(url, error)}") from error
    except (OverflowError, UnicodeError) as error:
        raise StoreError(f"store {shown(url)}: a value can't be kept in a database: {error}") from error


def _is_away(error: SQLAlchemyError | OSError) -> bool:
    """Whether the database can't be used now, whatever it is asked: it is silent, its file locked, its disk full."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    lost = lost or (isinstance(error, PendingRollbackError) and error.code == _LOST_BEFORE)
    said = isinstance(error, OperationalError) and (state is None or state[:2] in _AWAY)
    of_file = _file_says(error) in _FILE_AWAY or isinstance(error, NoConnectionFree)
    return lost or of_file or (said and _is_postgresql(error))


def is_locked(error: StoreError) -> bool:
    """Whether another process kept an SQLite file locked for as long as was waited."""
    return _file_says(error.__cause__) == sqlite3.SQLITE_BUSY


def _file_says(error: BaseException | None) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_postgresql(error: SQLAlchemyError | OSError) -> bool:
    return type(getattr(error, "orig", None)).__module__.startswith("psycopg")


def insert_new(connection: Connection, table: Table) -> Any:
    """An insert that leaves a row alone which is there already."""
    return insert_new_in(connection.dialect.name, table)


@lru_cache
def insert_new_in(dialect: str, table: Table) -> Any:
    """The same for a dialect by its name."""
    return inserts(dialect)(table).on_conflict_do_nothing()


def add_up(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows, or adds their numbers to those with the same primary key."""
    if not rows:
        return
    connection.execute(_adding_up(connection.dialect.name, table), rows)


@lru_cache
def _adding_up(dialect: str, table: Table) -> Any:
    new = inserts(dialect)(table)
    added = {column.name: column + new.excluded[column.name] for column in table.columns if not column.primary_key}
    return new.on_conflict_do_update(index_elements=list(table.primary_key), set_=added)


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows, or replaces those with the same primary key."""
    if not rows:
        return
    new = _insert(connection)(table)
    changed = {column.name: new.excluded[column.name] for column in table.columns if not column.primary_key}
    connection.execute(new.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows)


def _insert(connection: Connection) -> Any:
    return inserts(connection.dialect.name)


def inserts(dialect: str) -> Any:
    """Makes inserts for a dialect by its name: they know what to do about rows that are there already."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert


def _advice(url: URL, error: SQLAlchemyError | OSError) -> str:
    said = str(getattr(error, "orig", None) or (error.strerror if isinstance(error, OSError) else type(error).__name__))
    known = _ADVICE + _ADVICE_ON_FILES if url.get_backend_name() == "sqlite" else _ADVICE
    for sign, advice in known:
        if sign in said.lower():
            return advice
    first_line = (said.splitlines() or [type(error).__name__])[0]
    hidden = first_line.replace(url.password, "***") if url.password else first_line
    if "connect" in said.lower():
        return f"it does not answer: check that the database runs and the URL is right ({hidden})"
    return hidden


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError("the store's URL can't be read: write sqlite:////folder/file.db or postgresql://…") from error
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    raise StoreError(f"the store can't be kept in {backend}: use sqlite:////folder/file.db or postgresql://…")


def _sqlite(url: URL) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    if not in_memory:
        # Made here and not by SQLite, so that nobody else can read it; its journal files inherit the rights.
        os.close(os.open(Path(str(url.database)), os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(
        url,
        poolclass=QueuePool,
        # In memory, a second connection would be a second database.
        pool_size=1 if in_memory else 5,
        max_overflow=0 if in_memory else 59,
        connect_args={"check_same_thread": False, "timeout": _BUSY_S},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver would begin transactions late and commit before DDL; `begin` below does it at the right moment.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer can't wait for another writer; so writers say at once what they are.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=8,
        connect_args={"connect_timeout": _CONNECT_S, "tcp_user_timeout": _SILENT_S * 1_000, "keepalives_idle": 10},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_S}s'")
        connection.commit()

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_s"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        if (used_s := record.info.get("used_s")) is None:
            return  # it is new
        try:
            if time.monotonic() - used_s > _LIVES_S or heard(connection.fileno()):
                engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # this one, and all that are as old

    return engine


def _upgrade(engine: Engine) -> None:
    with engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7226001)"))
        found = _schema(connection)
        if found == SCHEMA:
            return
        if found is not None and found not in _known():
            raise StoreError(
                f"store {shown(engine.url)}: its schema is {found}, this broker knows up to {SCHEMA}: "
                "upgrade the broker, or name another store"
            )
        _migrate(connection)


def _schema(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(select(text("version_num FROM alembic_version"))).scalar()
    return version


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
