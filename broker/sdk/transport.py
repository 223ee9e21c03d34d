"""Requests → answers over HTTP, on a Unix socket or on loopback, with the standard library alone.

Every command of the command line pays for what is imported here. A connection is used again where it was used a moment
ago, and then only if nothing says that the other side has closed it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from weakref import finalize

from broker.model.errors import DaemonError
from broker.run.heard import heard
from broker.sdk.problems import raise_problem

_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_KEPT_S: Final = 2.0  # idle connections are reused for so long; the server closes them after 5 s
_MOST_KEPT: Final = 8  # idle connections
_NONE: Final[Mapping[str, str]] = {}
SILENCE_S: Final = 60.0  # after which a stream counts as lost: it sends a keep-alive every 15 s


class Unanswered(DaemonError):
    """The broker did not answer, or its answer broke off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response of the broker, whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


class Transport:
    """Sends requests to one address: `unix:/path`, `http://127.0.0.1:port` or `https://host`. Safe for threads.

    Raises `DaemonError` when nobody answers there.
    """

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self.address = address
        self.headers = dict(headers)
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._lock = Lock()
        self._process = os.getpid()
        finalize(self, _close, self._idle)

    def send(
        self, method: str, path: str, params: Mapping[str, Any], body: object | bytes | None, timeout_s: float
    ) -> Answer:
        """One request and the whole answer. A body that is not bytes is sent as JSON."""
        with self._sent(method, path, params, body, timeout_s) as (connection, response):
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(status=response.status, headers=headers, body=response.read())
            if not response.will_close:
                self._keep(connection)
            return answer

    def line(self, path: str, body: bytes, timeout_s: float) -> tuple[Answer, Callable[[], bytes]]:
        """The first line of an answer, as soon as it comes, and what reads the rest; an error is there whole."""
        sending = ExitStack()
        connection, response = sending.enter_context(self._sent("POST", path, {}, body, timeout_s))
        with sending:
            if response.status >= 400:
                return Answer(status=response.status, headers={}, body=response.read()), bytes
            line = response.readline()
            left = sending.pop_all()

        def rest() -> bytes:
            with left:
                found = response.read()
                if not response.will_close:
                    self._keep(connection)
                return found

        return Answer(status=response.status, headers={}, body=line), rest

    @contextmanager
    def lines(self, path: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come, however long that takes. Raises what the broker refuses."""
        with self._sent("GET", path, params, None, SILENCE_S, headers) as (_, response):
            if response.status >= 400:
                raise_problem(response.status, response.read())
            yield (line.decode().rstrip("\r\n") for line in response)

    def close(self) -> None:
        """Closes the idle connections; the next request opens a new one."""
        with self._lock:
            _close(self._idle)

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: object | bytes | None,
        timeout_s: float,
        more: Mapping[str, str] = _NONE,
    ) -> Iterator[tuple[HTTPConnection, HTTPResponse]]:
        connection = self._connection(timeout_s)
        query, data, headers = wire(params, body)
        try:
            # A server that refuses a body while it is sent has said why, and closed.
            with suppress(BrokenPipeError):
                connection.request(method, path + query, data, {**self.headers, **headers, **more})
            yield connection, connection.getresponse()
        except (OSError, HTTPException) as error:
            raise unanswered(self.address, error, late=isinstance(error, TimeoutError)) from error
        finally:
            if not self._kept(connection):
                connection.close()

    def _connection(self, timeout_s: float) -> HTTPConnection:
        while kept := self._take():
            connection, since = kept
            if time.monotonic() - since < _KEPT_S and not heard(connection.sock.fileno()):
                connection.timeout = timeout_s
                connection.sock.settimeout(timeout_s)
                return connection
            connection.close()
        return self._new(timeout_s)

    def _take(self) -> tuple[HTTPConnection, float] | None:
        with self._lock:
            if self._process != os.getpid():  # a fork: these are its parent's
                _close(self._idle)
                self._process = os.getpid()
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _MOST_KEPT:
                self._idle.append((connection, time.monotonic()))

    def _kept(self, connection: HTTPConnection) -> bool:
        with self._lock:
            return any(one is connection for one, _ in self._idle)

    def _new(self, timeout_s: float) -> HTTPConnection:
        if self.address.startswith("unix:"):
            return _UnixConnection(self.address.removeprefix("unix:"), timeout_s)
        parts = urlsplit(self.address)
        if parts.scheme == "https":
            return HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        return HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)


def _close(idle: list[tuple[HTTPConnection, float]]) -> None:
    while idle:
        idle.pop()[0].close()


def wire(params: Mapping[str, Any], body: object | bytes | None) -> tuple[str, bytes | None, dict[str, str]]:
    """The query, the body as bytes, and the headers that say what it is."""
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    if body is None:
        return query, None, {}
    if isinstance(body, bytes):
        return query, body, {"Content-Type": _BINARY}
    return query, json.dumps(body).encode(), {"Content-Type": _JSON}


def unanswered(address: str, error: Exception, *, late: bool) -> Unanswered:
    """The error for a request without an answer."""
    if late:
        return Unanswered(f"the broker at {address} did not answer in time: see `broker status`, or try again")
    said = str(error) or type(error).__name__
    return Unanswered(f"the broker at {address} does not answer ({said}): {_what_to_do(address, error)}")


def _what_to_do(address: str, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "where its certificate is your own, SSL_CERT_FILE names the file to trust"
    if address.startswith("https:"):
        return "see that BROKER_URL is right, and that it runs there"
    if address.startswith("http:"):
        return "start it with `broker up`; where BROKER_URL is set, see that a broker, or a tunnel to it, is there"
    return "start it with `broker up`"


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
