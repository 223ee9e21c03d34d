"""Credentials and addresses of a pool → Modal's client, connected, and the app in which all of it runs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from broker.model.errors import Misconfigured, Unreachable
from executors.modal_pool.errors import translated
from executors.modal_pool.options import Options

OPEN_WITHIN_S: Final = 30.0
_SERVER_URL: Final = "MODAL_SERVER_URL"
_address = threading.Lock()


class Connection:
    """One pool's client. The client's library is imported when it connects, not before."""

    def __init__(self, pool: str, options: Options) -> None:
        self._pool, self._options = pool, options
        self.client: Any = None
        self.app: Any = None

    async def open(self) -> None:
        """Connects and finds or makes the app. Raises `Misconfigured` for credentials, `Unreachable`."""
        import modal

        with translated(self._pool, "connecting to Modal"):
            try:
                async with asyncio.timeout(OPEN_WITHIN_S):
                    client = await asyncio.to_thread(self._client)
                    await client.hello.aio()
                    where = {"environment_name": self._options.environment or None, "client": client}
                    self.app = await modal.App.lookup.aio(self._options.app, create_if_missing=True, **where)
                    self.client = client
            except TimeoutError:
                raise Unreachable(f"pool {self._pool}: Modal did not answer within {OPEN_WITHIN_S:g} s") from None

    def _client(self) -> Any:
        import modal

        names = (self._options.token_id_env, self._options.token_secret_env)
        values = [os.environ.get(name) for name in names]
        missing = [name for name, value in zip(names, values, strict=True) if not value]
        with _address_of(self._options.server_url):
            if not missing:
                return modal.Client.from_credentials(*values)
            if len(missing) == 1 or names != (Options().token_id_env, Options().token_secret_env):
                raise Misconfigured(f"pool {self._pool}: the environment variable {missing[0]} is not set")
            return modal.Client.from_env()  # what `modal token new` has written

    async def close(self) -> None:
        """Closes the client."""
        client, self.client, self.app = self.client, None, None
        if client is not None:
            await client.close.aio()


@contextmanager
def _address_of(url: str) -> Iterator[None]:
    """Lets the client, which reads its address from the environment when it is made, find this one there."""
    with _address:
        before = os.environ.get(_SERVER_URL)
        if url:
            os.environ[_SERVER_URL] = url
        try:
            yield
        finally:
            if url and before is None:
                del os.environ[_SERVER_URL]
            elif url:
                os.environ[_SERVER_URL] = str(before)
