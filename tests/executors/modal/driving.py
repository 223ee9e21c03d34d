"""How these tests drive a pool: made in one call, with its settings, against a server of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.model.pools import Pool
from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.executor_watch import SystemClock, Watch
from executors.modal_pool import ModalPool
from tests.executors.modal.server.service import ModalServer

UNIT = Resources(cpus=2.0, memory_bytes=2 * GIB)
UNIT_GPU = Resources(cpus=2.0, memory_bytes=2 * GIB, gpus=8.0)


def pool_of(server: ModalServer, **fields: Any) -> Pool:
    options = {"server_url": server.world.url, **fields.pop("options", {})}
    values = {"unit": UNIT, "max_units": 2, "executor": "modal", "scaledown_window_s": 2.0, **fields}
    return builders.pool("burst", options=options, **values)


def executor_on(pool: Pool, folder: Path, max_stream_bytes: int = 1 << 30) -> ModalPool:
    return ModalPool(
        ExecutorContext(pool=pool, state_dir=folder, clock=SystemClock(), max_stream_bytes=max_stream_bytes)
    )


@asynccontextmanager
async def open_pool(server: ModalServer, folder: Path, **fields: Any) -> AsyncIterator[Watch]:
    """An open pool, stopped afterwards."""
    watch = Watch(executor_on(pool_of(server, **fields), folder))
    await watch.executor.open()
    try:
        yield watch
    finally:
        await watch.executor.close(stop=True)
