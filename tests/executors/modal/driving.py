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
from executors.modal_pool import ModalFunctions, ModalPool
from tests.executors.modal.server.service import ModalServer

UNIT = Resources(cpus=2.0, memory_bytes=2 * GIB)
UNIT_GPU = Resources(cpus=2.0, memory_bytes=2 * GIB, gpus=8.0)


def pool_of(server: ModalServer, **fields: Any) -> Pool:
    options = {"server_url": server.world.url, **fields.pop("options", {})}
    values = {"unit": UNIT, "max_units": 2, "executor": "modal", "scaledown_window_s": 2.0, **fields}
    return builders.pool("burst", options=options, **values)


def functions_of(server: ModalServer, **fields: Any) -> Pool:
    """A pool of functions, which looks after its containers more often than it would elsewhere."""
    options = {"look_every_s": 0.1, **fields.pop("options", {})}
    return pool_of(server, executor="modal_functions", options=options, **{"scaledown_window_s": 60.0, **fields})


def executor_on(pool: Pool, folder: Path, max_stream_bytes: int = 1 << 30) -> ModalPool:
    kind = {"modal": ModalPool, "modal_functions": ModalFunctions}[pool.executor]
    return kind(ExecutorContext(pool=pool, state_dir=folder, clock=SystemClock(), max_stream_bytes=max_stream_bytes))


@asynccontextmanager
async def open_pool(server: ModalServer, folder: Path, **fields: Any) -> AsyncIterator[Watch]:
    """An open pool, stopped afterwards."""
    make = functions_of if fields.pop("functions", False) else pool_of
    watch = Watch(executor_on(make(server, **fields), folder))
    await watch.executor.open()
    try:
        yield watch
    finally:
        await watch.executor.close(stop=True)
