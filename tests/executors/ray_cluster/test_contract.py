"""The Ray pool keeps the promises of the executor port, on a cluster of its own that the tests share."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.executor_contract import ExecutorContract
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster.driving import context


@pytest.fixture(scope="module")
def state_dir() -> Iterator[Path]:
    """Short, because Ray puts sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    yield folder
    asyncio.run(_stop(folder))
    shutil.rmtree(folder)


class TestRayCluster(ExecutorContract):
    shared = True

    @pytest.fixture
    def pool(self, state_dir: Path) -> Pool:
        return context(state_dir).pool

    @pytest.fixture
    def make_executor(self, state_dir: Path) -> Callable[[], Executor]:
        return lambda: RayCluster(context(state_dir))

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills the Ray worker that runs it: the parent of its command."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"BROKER_ATTEMPT_ID={attempt_id}".encode() in (entry / "environ").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if mine and b"ray::" in Path(f"/proc/{parent}/cmdline").read_bytes():
                    os.kill(parent, signal.SIGKILL)
                    return
            except OSError:
                continue
        raise AssertionError(f"no worker runs {attempt_id}")


async def _stop(state_dir: Path) -> None:
    executor = RayCluster(context(state_dir))
    await executor.open()
    await executor.close(stop=True)
