"""Requests from an event loop leave no connection behind, wherever they are cancelled."""

import asyncio
from pathlib import Path

from broker.sdk.async_transport import AsyncTransport
from broker.sdk.flow import Request
from broker.testing.executor_watch import PATIENCE_S

STEPS = 40  # of the event loop: more than a request takes


class Answering:
    """Answers every request on a Unix socket, and knows the connections that are open."""

    def __init__(self) -> None:
        self.open: set[asyncio.Task[None]] = set()
        self.met = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.met += 1
        self.open.add(task)
        try:
            while await reader.readline():
                if await reader.readuntil(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has gone away
        finally:
            writer.close()
            self.open.discard(task)


async def test_a_request_cancelled_at_any_step_closes_its_connection(tmp_path: Path) -> None:
    answering, path = Answering(), tmp_path / "broker.sock"
    async with await asyncio.start_unix_server(answering.serve, path):
        asking = AsyncTransport(f"unix:{path}", {})
        for steps in range(STEPS):
            request = asyncio.create_task(asking.answer(Request(method="GET", path="/v1/health")))
            for _ in range(steps):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.wait([request])
        assert request.result().json() == {}
        if answering.open:
            await asyncio.wait(answering.open, timeout=PATIENCE_S)
        assert answering.met > STEPS / 2
        assert not answering.open
