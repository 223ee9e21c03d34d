"""How these tests drive a pool: made in one call, with its settings."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broker.model.resources import GIB, Resources
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.executor_watch import PATIENCE_S, SystemClock, Watch, processes_with
from executors.local_serverless import LocalServerless

TINY = Resources(cpus=1, memory_bytes=GIB // 16)


def executor_in(
    folder: Path, *, options: dict[str, Any] | None = None, max_stream_bytes: int = 1 << 30, **fields: Any
) -> LocalServerless:
    """An executor on a folder, not open."""
    pool = builders.pool("serverless", executor="local_serverless", options=options or {}, **fields)
    context = ExecutorContext(pool=pool, state_dir=folder, clock=SystemClock(), max_stream_bytes=max_stream_bytes)
    return LocalServerless(context)


@asynccontextmanager
async def open_pool(folder: Path | None = None, **fields: Any) -> AsyncIterator[Watch]:
    """An open pool, stopped afterwards; on a folder of its own, with a short path, where none is given."""
    own = Path(tempfile.mkdtemp(prefix="bls-"))
    watch = Watch(executor_in(folder or own, **fields))
    await watch.executor.open()
    try:
        yield watch
    finally:
        await watch.executor.close(stop=True)
        shutil.rmtree(own)


async def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Waits for something that no event tells of."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


async def units_up(watch: Watch, count: int, within_s: float = PATIENCE_S) -> None:
    """Waits until so many containers are up and ready."""
    async with asyncio.timeout(within_s):
        while True:
            units = (await watch.executor.capacity()).units
            if len(units) == count and all(unit.ready for unit in units):
                return
            await asyncio.sleep(0.02)


def folder_of(watch: Watch) -> Path:
    """The state folder of a pool."""
    folder = watch.executor._dir  # type: ignore[attr-defined]
    assert isinstance(folder, Path)
    return folder


def host_of(watch: Watch) -> int:
    """The process that is the pool: the one on its folder that leads a session."""
    (pid,) = [pid for pid in processes_with(str(folder_of(watch))) if os.getsid(pid) == pid]
    return pid
