"""A broker with two fake pools, served by uvicorn on a real Unix socket from a thread of its own."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn

from broker.api.app import create_app
from broker.model.pools import PoolKind
from broker.run.lifecycle import DaemonFile, only_daemon
from broker.sdk.client import Client
from tests.api.conftest import WAIT_S, House, pool

T = TypeVar("T")


@dataclass
class Served:
    """What runs in the thread."""

    state_dir: Path
    token: str | None = None
    up: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        pools = (pool("steady", PoolKind.CLUSTER), pool("burst", PoolKind.SERVERLESS))
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.house = House(self.state_dir, f"sqlite:///{self.state_dir / 'broker.db'}", pools)
        where = {"host": "127.0.0.1", "port": 0} if self.token else {"uds": str(self.state_dir / "broker.sock")}
        app = create_app(self.house.service, self.token)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1, **where)
        )
        running = [asyncio.create_task(self.house.broker.run()), asyncio.create_task(server._serve())]
        await self.house.broker.ready(lambda _: None)
        while not server.started:
            await asyncio.sleep(0.01)
        self._announce(server)
        await self.stop.wait()
        self.house.broker.detach()
        server.should_exit = True
        await asyncio.gather(*running)
        self.house.store.close()

    def _announce(self, server: uvicorn.Server) -> None:
        address, token_file = f"unix:{self.state_dir / 'broker.sock'}", ""
        if self.token:
            (self.state_dir / "token").write_text(self.token)
            address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            token_file = str(self.state_dir / "token")
        daemon = DaemonFile(
            pid=os.getpid(), address=address, token_file=token_file, dashboard="", version="0", started=""
        )
        daemon.write(self.state_dir)
        self.up.set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it where the broker runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)


def serve(state_dir: Path, token: str | None = None) -> Iterator[Served]:
    with only_daemon(state_dir):
        served = Served(state_dir, token)
        thread = threading.Thread(target=served.run)
        thread.start()
        assert served.up.wait(WAIT_S)
        try:
            yield served
        finally:
            with suppress(RuntimeError):  # a test may have ended it before
                served.loop.call_soon_threadsafe(served.stop.set)
            thread.join(WAIT_S)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from serve(tmp_path)


@pytest.fixture
def client(served: Served) -> Client:
    return Client(f"unix:{served.state_dir / 'broker.sock'}", user="ann")
