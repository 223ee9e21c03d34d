"""The Ray pool keeps the promises of the executor port on a cluster that is not ours, where no files are shared."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor, ExecutorContext
from broker.testing.executor_contract import LossContract
from broker.testing.executor_contract_ends import CancelContract, EndContract
from broker.testing.executor_contract_launch import FunctionContract, LaunchContract, OutputContract
from broker.testing.executor_contract_pool import RestartContract, UsageContract
from broker.testing.executor_contract_shared import SharedPool
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster import running
from tests.executors.ray_cluster.driving import context, kill_worker_of


@pytest.fixture(scope="module")
def made() -> Iterator[ExecutorContext]:
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    cluster = running.start(folder)
    token = folder / "token"
    token.write_text(cluster.token)
    try:
        cluster.add({}, "--num-gpus=2", '--resources={"accelerator_type:L4": 2}')
        given = context(folder / "pool", address=cluster.address, token_file=str(token), root=f"{folder}/nodes")
        yield given
        asyncio.run(_stop(given))
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


class TestRunningCluster(
    SharedPool,
    LaunchContract,
    FunctionContract,
    OutputContract,
    EndContract,
    CancelContract,
    RestartContract,
    LossContract,
    UsageContract,
):
    """What is the same on a cluster of our own is tested there."""

    @pytest.fixture
    def pool(self, made: ExecutorContext) -> Pool:
        return made.pool

    @pytest.fixture(scope="class")
    @classmethod
    def make_executor(cls, made: ExecutorContext) -> Callable[[], Executor]:
        return lambda: RayCluster(made)

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        kill_worker_of(attempt_id)


async def _stop(made: ExecutorContext) -> None:
    executor = RayCluster(made)
    await executor.open()
    await executor.close(stop=True)
