"""The Modal pool keeps the promises of the executor port, through Modal's own client, on a server of our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.executor_contract import ExecutorContract
from tests.executors.modal.driving import executor_on, functions_of, pool_of
from tests.executors.modal.server.service import ModalServer


class TestSandboxes(ExecutorContract):
    @pytest.fixture
    def pool(self, server: ModalServer) -> Pool:
        self.server = server
        return pool_of(server)

    @pytest.fixture
    def make_executor(self, pool: Pool, tmp_path: Path) -> Callable[[], Executor]:
        return lambda: executor_on(pool, tmp_path / "state")

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills the first process of its sandbox."""
        (sandbox,) = self.server.sandboxes.named(attempt_id)
        os.kill(sandbox.container.pid, signal.SIGKILL)


class TestFunctions(ExecutorContract):
    @pytest.fixture
    def pool(self, server: ModalServer) -> Pool:
        self.server = server
        return functions_of(server)

    @pytest.fixture
    def make_executor(self, pool: Pool, tmp_path: Path) -> Callable[[], Executor]:
        return lambda: executor_on(pool, tmp_path / "state")

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills its container."""
        await self.server.functions.lose(attempt_id)
