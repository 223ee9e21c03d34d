"""Notices between brokers: PostgreSQL's LISTEN, on a connection of its own. An SQLite file has nobody to hear from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from sqlalchemy import URL

from broker.model.errors import StoreAway
from broker.run.store.engine import shown
from broker.run.store.leasing import CHANNEL

_QUIET_S: Final = 10.0  # after which the connection is asked whether it lives


async def listen(url: URL) -> AsyncGenerator[str]:
    """Every notice, beginning with an empty one: what came before is not told. Raises StoreAway."""
    if url.get_backend_name() != "postgresql":
        yield ""
        await asyncio.Event().wait()
    import psycopg

    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        async with await psycopg.AsyncConnection.connect(text, autocommit=True, connect_timeout=10) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            yield ""
            while True:
                async for notice in connection.notifies(timeout=_QUIET_S):
                    yield notice.payload
                await connection.execute("SELECT 1")
    except (psycopg.Error, OSError) as error:
        raise StoreAway(f"store {shown(url)}: notices are not heard ({type(error).__name__})") from error
