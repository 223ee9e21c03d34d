"""Requests → answers over HTTP, on a Unix socket or on loopback, with the standard library alone.

Every command of the command line pays for what is imported here; each request has a connection of its own, which costs
a fraction of a millisecond and can't be a stale one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from broker.model.errors import DaemonError

_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body. Raises ValueError."""
        return json.loads(self.body)


class Transport:
    """Sends requests to one address: `unix:/path`, `http://127.0.0.1:port` or `https://host`. Safe for threads.

    Raises `DaemonError` when nobody answers there.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = dict(headers)

    def send(
        self, method: str, path: str, params: Mapping[str, Any], body: object | bytes | None, timeout_s: float
    ) -> Answer:
        """One request and the whole answer. A body that is not bytes is sent as JSON."""
        with self._sent(method, path, params, body, timeout_s) as (_, response):
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=headers, body=response.read())

    @contextmanager
    def lines(self, path: str, timeout_s: float) -> Iterator[tuple[Answer | None, Iterator[str]]]:
        """The lines of an answer as they come, however long that takes; or the answer whole, where it is an error."""
        with self._sent("GET", path, {}, None, timeout_s) as (connection, response):
            if response.status >= 400:
                yield Answer(status=response.status, headers={}, body=response.read()), iter(())
                return
            connection.sock.settimeout(None)
            yield None, (line.decode().rstrip("\r\n") for line in response)

    @contextmanager
    def _sent(
        self, method: str, path: str, params: Mapping[str, Any], body: object | bytes | None, timeout_s: float
    ) -> Iterator[tuple[HTTPConnection, HTTPResponse]]:
        connection = self._connection(timeout_s)
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": _BINARY if data is body else _JSON} if data is not None else {})
        try:
            # A server that refuses a body while it is sent has said why, and closed.
            with suppress(BrokenPipeError):
                connection.request(method, path + query, data, headers)
            yield connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._unanswered(error) from error
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> HTTPConnection:
        if self._address.startswith("unix:"):
            return _UnixConnection(self._address.removeprefix("unix:"), timeout_s)
        parts = urlsplit(self._address)
        if parts.scheme == "https":
            return HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        return HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)

    def _unanswered(self, error: Exception) -> DaemonError:
        if isinstance(error, TimeoutError):
            return DaemonError(
                f"the broker at {self._address} did not answer in time: see `broker status`, or try again"
            )
        said = str(error) or type(error).__name__
        return DaemonError(f"the broker at {self._address} does not answer ({said}): start it with `broker up`")


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("broker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connects to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
