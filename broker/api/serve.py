"""The daemon's process: settings → a broker and its HTTP face, on a Unix socket and on loopback, until asked to stop.

SIGTERM and SIGINT detach: what runs in the pools goes on, and the next daemon finds it. `broker down` ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import structlog
import structlog.types
import uvicorn
from starlette.types import ASGIApp

from broker.api.app import create_app
from broker.api.events import as_json
from broker.api.guard import trusting
from broker.api.listening import Listening, listen
from broker.model.errors import BrokerError
from broker.run.build import build_broker
from broker.run.lifecycle import FAILED, READY, DaemonFile, only_daemon
from broker.run.notify import Notifier
from broker.run.service import Service
from broker.run.settings import Settings, load_settings

log = structlog.get_logger()

Say = Callable[[str], None]


def main(arguments: list[str] | None = None) -> int:
    """Runs the daemon; 0 after an orderly end, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="broker daemon", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--ready-fd", type=int, help="where to say what happens until it is ready, line by line")
    options = parser.parse_args(arguments)
    say = _speaker(options.ready_fd)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), processors=_log_processors())
    try:
        settings = load_settings(options.config)
        os.environ["BROKER_STATE_DIR"] = str(settings.state_dir)  # where price sources look for what they keep
        with only_daemon(settings.state_dir):
            asyncio.run(_serve(settings, say))
    except (BrokerError, OSError) as error:
        say(FAILED + json.dumps(str(error)))
        log.error("daemon could not run", error=str(error))
        return 1
    return 0


def _log_processors() -> list[structlog.types.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _speaker(ready_fd: int | None) -> Say:
    if ready_fd is None:
        return lambda line: print(line, flush=True)
    out = os.fdopen(ready_fd, "w", encoding="utf-8")

    def say(line: str) -> None:
        with suppress(BrokenPipeError, ValueError):
            out.write(line + "\n")
            out.flush()
            if line == READY:
                out.close()

    return say


async def _serve(settings: Settings, say: Say) -> None:
    broker = build_broker(settings)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, broker.detach)
    listening = listen(settings)
    service = Service(broker, user=settings.user, stale_price_days=settings.stale_price_days)
    servers = _servers(create_app(service, listening.token, settings.limits), listening)
    serving = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    running = asyncio.create_task(broker.run())
    notifier = Notifier(settings.receivers, broker.secrets, broker.events, as_json)
    notifying = asyncio.create_task(notifier.run())
    scheduling = asyncio.create_task(service.scheduler.run())
    _announce(settings.state_dir, listening)
    try:
        ready = asyncio.create_task(broker.ready(say))
        await asyncio.wait([ready, running, scheduling, *serving], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            say(READY)
        await asyncio.wait([running, scheduling, *serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        broker.detach()
        await running
        notifying.cancel()
        scheduling.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        broker.store.close()


def _servers(app: ASGIApp, listening: Listening) -> list[tuple[_Server, socket.socket]]:
    found = []
    if listening.trusted is not None:
        found.append((_Server(trusting(app)), listening.trusted))
    if listening.guarded is not None:
        found.append((_Server(app), listening.guarded))
    return found


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals mean something else here."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=3)
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals to the daemon."""
        yield


def _announce(state_dir: Path, listening: Listening) -> None:
    token_file = state_dir / "token"
    token_file.unlink(missing_ok=True)
    if listening.guarded is not None:
        token_file.touch(mode=0o600)
        token_file.write_text(listening.token)
    DaemonFile(
        pid=os.getpid(),
        address=listening.address,
        token_file=str(token_file) if listening.guarded else "",
        dashboard=listening.dashboard,
        version=version("gpu-broker"),
        started=datetime.now(UTC).isoformat(),
    ).write(state_dir)


if __name__ == "__main__":
    sys.exit(main())
