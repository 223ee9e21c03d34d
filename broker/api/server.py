"""An application → an HTTP server that leaves signals to its process, and the log that such a process writes."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.api.door import Certificate
from broker.api.streaming import ABORT

GRACE_S = 3  # that answers which have begun have to end
MOST_FILES = 1 << 16  # open at once: a connection is one
COLLECT = (10_000, 100, 50)  # new objects until the youngest are looked at; how often that, until older ones are
SWITCH_S = 0.001  # how long a thread that computes keeps the event loop from its turn


class Connection(HttpToolsProtocol):
    """A connection that the application can end at once, whatever still waits to be sent."""

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[typeddict-unknown-key]


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals mean something else here."""

    def __init__(self, app: ASGIApp, certificate: Certificate | None = None, *, proxied: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
                ssl_certfile=certificate.file if certificate else None,
                ssl_keyfile=certificate.key if certificate else None,
                proxy_headers=proxied,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals to the process."""
        yield


def expect_many() -> None:
    """Prepares this process for thousands of connections, none of which waits for what is done beside them.

    It may have as many files open as it may ask for, where it begins with 1,024. And what connections hold is not gone
    through for garbage again and again: that took half of the time, and seconds at once, while thousands follow a job.
    """
    gc.set_threshold(*COLLECT)
    sys.setswitchinterval(SWITCH_S)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Willing:
    """A stream that leaves out what can't be written: on a full disk a broker goes on, though it can't say so there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def log_as_json() -> None:
    """Writes the log to stderr, a JSON object a line."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Willing(sys.stderr))),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
