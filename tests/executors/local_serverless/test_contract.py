"""The local serverless pool keeps the promises of every executor."""

import os
import signal
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor, ExecutorContext
from broker.testing import builders
from broker.testing.executor_contract import ExecutorContract
from broker.testing.executor_watch import SystemClock, processes_with
from executors.local_serverless import LocalServerless


class TestLocalServerless(ExecutorContract):
    @pytest.fixture
    def state_dir(self) -> Iterator[Path]:
        """Short, because the path of a socket in it must not be long."""
        folder = Path(tempfile.mkdtemp(prefix="bls-"))
        yield folder
        shutil.rmtree(folder)

    @pytest.fixture
    def pool(self) -> Pool:
        return builders.pool("serverless", executor="local_serverless")

    @pytest.fixture
    def make_executor(self, pool: Pool, state_dir: Path) -> Callable[[], Executor]:
        context = ExecutorContext(pool=pool, state_dir=state_dir, clock=SystemClock())
        return lambda: LocalServerless(context)

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills the agent of the only container."""
        for pid in processes_with("/work/main/executors/local_serverless/agent.py"):
            os.kill(pid, signal.SIGKILL)
