"""The Ray pool keeps the promises of the executor port, on a cluster of its own that the tests share."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.executor_contract import ExecutorContract
from broker.testing.executor_contract_shared import SharedPool
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster.driving import context, kill_worker_of


@pytest.fixture(scope="module")
def state_dir() -> Iterator[Path]:
    """Short, because Ray puts sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    yield folder
    asyncio.run(_stop(folder))
    shutil.rmtree(folder)


class TestRayCluster(SharedPool, ExecutorContract):
    @pytest.fixture
    def pool(self, state_dir: Path) -> Pool:
        return context(state_dir).pool

    @pytest.fixture(scope="class")
    @classmethod
    def make_executor(cls, state_dir: Path) -> Callable[[], Executor]:
        return lambda: RayCluster(context(state_dir))

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        kill_worker_of(attempt_id)


async def _stop(state_dir: Path) -> None:
    executor = RayCluster(context(state_dir))
    await executor.open()
    await executor.close(stop=True)
