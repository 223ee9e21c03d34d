"""An API worker: answers at the broker's door over the same database, drives nothing, and ends with the broker."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

import structlog

from broker.api.app import create_app
from broker.api.door import Certificate
from broker.api.server import Server, expect_many, log_as_json
from broker.model.errors import BrokerError
from broker.run.build import build_broker
from broker.run.service import Service
from broker.run.settings import Settings, load_settings

log = structlog.get_logger()


def main() -> int:
    """Runs the worker; 0 after an orderly end, 1 when it could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--broker-fd", type=int, required=True)
    parser.add_argument("--drain", type=float, default=0.0)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--behind-proxy", action="store_true")
    options = parser.parse_args()
    log_as_json()
    expect_many()
    try:
        settings = load_settings(options.config)
        os.environ["BROKER_STATE_DIR"] = str(settings.state_dir)  # where price sources look for what they keep
        asyncio.run(_serve(settings, options))
    except (BrokerError, OSError) as error:
        log.error("an API worker could not run", error=str(error))
        return 1
    return 0


async def _serve(settings: Settings, options: argparse.Namespace) -> None:
    broker = build_broker(settings, drives=False)
    service = Service(broker, user=settings.user, stale_price_days=settings.stale_price_days)
    certificate = Certificate(file=options.tls_cert, key=options.tls_key) if options.tls_cert else None
    # Nobody knows its own token: only those of the store open anything.
    app = create_app(service, secrets.token_urlsafe(32), settings.limits)
    server = Server(app, certificate, proxied=options.behind_proxy)
    ending: list[asyncio.Task[None]] = []

    async def end(drain_s: float) -> None:
        service.readiness.draining = True
        await asyncio.sleep(drain_s)
        broker.detach()

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, lambda: ending.append(asyncio.create_task(end(options.drain))))
    loop.add_reader(options.broker_fd, broker.detach)
    running = asyncio.create_task(broker.run())
    serving = asyncio.create_task(server.serve(sockets=[socket.socket(fileno=options.socket_fd)]))
    await asyncio.wait([running, serving], return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(options.broker_fd)
    broker.detach()
    server.should_exit = True
    await asyncio.gather(running, serving)
    broker.store.close()


if __name__ == "__main__":
    sys.exit(main())
