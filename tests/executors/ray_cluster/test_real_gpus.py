"""A Ray cluster on this machine with its real GPUs: attempts hold them, share them, and see no others."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from broker.model.resources import GIB, Resources
from executors.ray_cluster import RayCluster
from tests.executors.ray_cluster.conftest import STARTS_S
from tests.executors.ray_cluster.driving import Driver, context
from tests.executors.real_gpus import MACHINE, MODEL, WHY_NOT, asking, said

pytestmark = [pytest.mark.skipif(not MACHINE.gpu_count, reason=WHY_NOT), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real() -> AsyncIterator[Driver]:
    """A pool of one node with all GPUs of this machine."""
    folder = Path(tempfile.mkdtemp(prefix="bray-"))
    os.chmod(folder, 0o700)
    logical = context(folder)
    unit = Resources(cpus=4, memory_bytes=8 * GIB, gpus=MACHINE.gpu_count, gpu_model=MODEL)
    devices = tuple(range(MACHINE.gpu_count))
    pool = replace(logical.pool, unit=unit, max_units=1, gpu_models=(MODEL,), emulated=False, devices=devices)
    driver = Driver(RayCluster(replace(logical, pool=pool)), folder)
    try:
        await driver.reopened(STARTS_S)
        yield driver
    finally:
        await driver.executor.close(stop=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("gpus", [0.5, 1, MACHINE.gpu_count])
async def test_cuda_works_on_what_an_attempt_holds(real: Driver, gpus: float) -> None:
    assert (await said(real, gpus)).split()[0] == b"%d" % max(gpus, 1)


async def test_cuda_finds_nothing_where_nothing_is_held(real: Driver) -> None:
    report = await real.run(asking(0))
    assert report.exit_code == 1
