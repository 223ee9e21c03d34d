"""The Ray pool keeps the promises of the executor port on a cluster that is not ours, where no files are shared."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.model.pools import Pool
from broker.ports import Executor, ExecutorContext
from broker.testing.executor_contract import ContractFixtures, LossContract
from broker.testing.executor_contract_ends import CancelContract, EndContract
from broker.testing.executor_contract_launch import FunctionContract, LaunchContract, OutputContract
from broker.testing.executor_contract_pool import RestartContract, UsageContract
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster import running
from tests.executors.ray_cluster.driving import context


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
    LaunchContract,
    FunctionContract,
    OutputContract,
    EndContract,
    CancelContract,
    RestartContract,
    LossContract,
    UsageContract,
    ContractFixtures,
):
    """What is the same on a cluster of our own is tested there."""

    shared = True

    @pytest.fixture
    def pool(self, made: ExecutorContext) -> Pool:
        return made.pool

    @pytest.fixture
    def make_executor(self, made: ExecutorContext) -> Callable[[], Executor]:
        return lambda: RayCluster(made)

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


async def _stop(made: ExecutorContext) -> None:
    executor = RayCluster(made)
    await executor.open()
    await executor.close(stop=True)
