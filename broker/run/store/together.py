"""Statements whose answers nobody needs → sent one after another, and answered together before the commit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_OPEN: Final = "together"  # where a connection keeps its pipeline


def together(connection: Connection) -> None:
    """From here to the end of the transaction PostgreSQL is only told, and not waited for: nothing may be read.

    What is wrong with a statement is raised by one of those after it, or before the commit. On SQLite, where nobody is
    waited for, it changes nothing.
    """
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        pipeline = connection.info[_OPEN] = driver.pipeline()
        pipeline.__enter__()


@contextmanager
def answered(connection: Connection) -> Iterator[None]:
    """Waits at the end for all that was sent together. Raises what the first of it that failed would have raised."""
    try:
        yield
    except BaseException:
        _leave(connection, *sys.exc_info())
        raise
    _leave(connection, None, None, None)


def _leave(connection: Connection, *why: Any) -> None:
    if (pipeline := connection.info.pop(_OPEN, None)) is None:
        return
    dialect = connection.dialect
    driver_error: Any = dialect.loaded_dbapi.Error
    try:
        pipeline.__exit__(*why)
    except driver_error as error:
        raise DBAPIError.instance(None, None, error, driver_error, dialect=dialect) from error
