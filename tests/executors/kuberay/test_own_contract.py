"""The KubeRay pool in which each attempt has a RayCluster of its own keeps the promises of the executor port."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.executor_contract import ExecutorContract
from tests.executors.kuberay.driving import executor_on, own_pool_of
from tests.executors.kuberay.server.service import Cluster


class TestKubeRayJobs(ExecutorContract):
    @pytest.fixture
    def pool(self, cluster: Cluster) -> Pool:
        self.cluster = cluster
        return own_pool_of(cluster, options={"grace_s": 1.0})

    @pytest.fixture
    def make_executor(self, pool: Pool, tmp_path: Path) -> Callable[[], Executor]:
        return lambda: executor_on(pool, tmp_path / "state")

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills the driver of its Ray job."""
        os.kill(self.cluster.operator.runs[attempt_id].pid, signal.SIGKILL)
