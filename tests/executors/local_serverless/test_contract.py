"""The local serverless pool keeps the promises of every executor."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing import builders
from broker.testing.executor_contract import ExecutorContract
from broker.testing.executor_watch import Watch, processes_with
from executors.local_serverless.sandbox import AGENT
from executors.on_machine.processes import descendants
from tests.executors.local_serverless.driving import executor_in, host_of


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
    def make_executor(self, state_dir: Path) -> Callable[[], Executor]:
        return lambda: executor_in(state_dir)

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills the agents of all containers."""
        for pid in set(descendants(host_of(Watch(executor)))) & set(processes_with(str(AGENT))):
            os.kill(pid, signal.SIGKILL)
