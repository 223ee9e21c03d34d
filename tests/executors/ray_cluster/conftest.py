"""One Ray cluster for each test module: it takes about ten seconds to start."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster.driving import Driver, context

STARTS_S = 240.0


@pytest.fixture(scope="module")
def state_dir() -> Iterator[Path]:
    """Short, because Ray puts sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    os.chmod(folder, 0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(state_dir: Path) -> AsyncIterator[Driver]:
    """A pool of at most two nodes, up and attached, with one node."""
    driver = Driver(RayCluster(context(state_dir, preload=["colorsys", "no_such_module"])), state_dir)
    try:
        await driver.reopened(STARTS_S)  # on a busy machine Ray itself gives up a node that takes it more than 30 s
        yield driver
    finally:
        await driver.executor.close(stop=True)
