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
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import structlog
from starlette.types import ASGIApp

from broker.api.app import create_app
from broker.api.door import Door, opened
from broker.api.events import as_json
from broker.api.guard import trusting
from broker.api.listening import Listening, listen
from broker.api.server import Server, expect_many, log_as_json
from broker.api.workers import Workers
from broker.model.errors import BrokerError, InvalidInput, Problem
from broker.run.broker import Broker
from broker.run.build import build_broker
from broker.run.lifecycle import ALIVE_EVERY_S, FAILED, READY, DaemonFile, End, note_alive, only_daemon
from broker.run.service import Service
from broker.run.settings import Settings, load_settings
from broker.run.telling.notify import Notifier

log = structlog.get_logger()

Say = Callable[[str], None]


def main(arguments: list[str] | None = None) -> int:
    """Runs the daemon; 0 after an orderly end, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="broker daemon", description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--ready-fd", type=int, help="where to say what happens until it is ready, line by line")
    parser.add_argument("--end", choices=get_args(End), help="end what an earlier daemon left, and then this one")
    options = parser.parse_args(arguments)
    say = _speaker(options.ready_fd)
    log_as_json()
    try:
        run(load_settings(options.config), say, end=options.end)
    except (BrokerError, OSError) as error:
        say(FAILED + json.dumps(str(error)))
        log.error("daemon could not run", error=str(error))
        return 1
    return 0


def run(settings: Settings, say: Say, door: Door | None = None, *, drives: bool = True, end: End | None = None) -> None:
    """Runs the broker until it is asked to end; with a door, it also answers there. Raises `BrokerError`, OSError.

    With `end` it is asked to at once: it goes on with what an earlier one left, in order to end it.
    """
    if door is not None and door.workers > 1 and settings.store_url.startswith("sqlite"):
        raise InvalidInput(
            Problem(
                field="--workers",
                message=f"{door.workers} API workers need a PostgreSQL database (store_url); an SQLite file serves one",
            )
        )
    os.environ["BROKER_STATE_DIR"] = str(settings.state_dir)  # where price sources look for what they keep
    expect_many()
    with only_daemon(settings.state_dir):
        if door is not None:
            say(f"serving at {door.shown}; SIGTERM ends it, `broker token create` lets people in")
        asyncio.run(_serve(settings, say, door, drives=drives, end=end))


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


async def _serve(settings: Settings, say: Say, door: Door | None, *, drives: bool, end: End | None) -> None:
    broker = build_broker(settings, drives=drives)
    left = broker.open_pools.names()
    if end is not None:
        broker.begin_nothing()
    listening = listen(settings)
    service = Service(broker, user=settings.user, stale_price_days=settings.stale_price_days)
    app = create_app(service, listening.token, settings.limits)
    servers, workers = _servers(app, listening), None
    if door is not None and door.workers > 1:
        workers = Workers(door, opened(door), settings.file)
    elif door is not None:
        servers.append((Server(app, door.certificate, proxied=door.behind_proxy), opened(door)))
    _end_on_signals(broker, service, workers, door.drain_s if door else 0.0)
    running = asyncio.create_task(broker.run())
    serving = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    notifier = Notifier(settings.receivers, broker.secrets, broker.events, as_json)
    # It ends at once where nobody is to be told.
    notifying = asyncio.create_task(broker.failures.keep_going("notifications", notifier.run))
    beside = [asyncio.create_task(broker.failures.keep_going("signs of life", lambda: _live(settings.state_dir)))]
    if drives and end is None:
        beside.append(asyncio.create_task(broker.failures.keep_going("schedules", service.scheduler.run)))
    if workers is not None:
        beside.append(asyncio.create_task(workers.run()))
    _announce(settings, listening, "broker up" if door is None else "broker serve")
    try:
        ready = asyncio.create_task(broker.ready(say))
        await asyncio.wait([ready, running, *beside, *serving], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            say(READY)
            if end is not None:
                await service.operations.end_left(left, service.user, drain=end == "drain")
        await asyncio.wait([running, *beside, *serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        broker.detach()
        await running
        if workers is not None:
            await workers.gone()
        for task in (notifying, *beside):
            task.cancel()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        broker.store.close()


def _end_on_signals(broker: Broker, service: Service, workers: Workers | None, drain_s: float) -> None:
    """SIGTERM and SIGINT: nothing new is sent here, and after a while the broker ends alone."""
    ending: list[asyncio.Task[None]] = []

    async def end() -> None:
        service.readiness.draining = True
        if workers is not None:
            workers.end()
        await asyncio.sleep(drain_s)
        broker.detach()

    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, lambda: ending.append(asyncio.create_task(end())))


def _servers(app: ASGIApp, listening: Listening) -> list[tuple[Server, socket.socket]]:
    found = []
    if listening.trusted is not None:
        found.append((Server(trusting(app)), listening.trusted))
    if listening.guarded is not None:
        found.append((Server(app), listening.guarded))
    return found


async def _live(state_dir: Path) -> None:
    while True:
        note_alive(state_dir)
        await asyncio.sleep(ALIVE_EVERY_S)


def _announce(settings: Settings, listening: Listening, by: str) -> None:
    state_dir = settings.state_dir
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
        by=by,
        config=str(settings.file.absolute()) if settings.file else "",
    ).write(state_dir)


if __name__ == "__main__":
    sys.exit(main())
