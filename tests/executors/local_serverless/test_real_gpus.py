"""Containers with real GPUs: CUDA works in them, and each sees what it holds and no more."""

import asyncio

import pytest

from broker.model.errors import NoCapacity
from broker.model.resources import GIB, Resources
from broker.testing.builders import launch_request
from executors.local_serverless import sandbox
from tests.executors.local_serverless.driving import open_pool, units_up
from tests.executors.real_gpus import MACHINE, MODEL, WHY_NOT, asking, said

pytestmark = pytest.mark.skipif(not MACHINE.gpu_count, reason=WHY_NOT)
UNIT = Resources(cpus=2, memory_bytes=4 * GIB, gpus=MACHINE.gpu_count, gpu_model=MODEL)
KINDS = ("bubblewrap", "namespaces", "process")


def pool_of(kind: str) -> dict[str, object]:
    devices = tuple(range(MACHINE.gpu_count))
    return {"unit": UNIT, "gpu_models": (MODEL,), "devices": devices, "max_units": 4, "options": {"isolation": kind}}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of isolation that works here."""
    if KINDS.index(request.param) < KINDS.index(sandbox.strongest()):
        pytest.skip(f"{request.param} does not work on this machine")
    return str(request.param)


async def test_cuda_works_on_what_a_container_holds(kind: str) -> None:
    async with open_pool(**pool_of(kind)) as watch:
        assert (await said(watch, 1)).split()[0] == b"1"
        assert (await said(watch, 0.5)).split()[0] == b"1"
        everything = await said(watch, MACHINE.gpu_count)
        assert everything.split()[0] == b"%d" % MACHINE.gpu_count


async def test_cuda_finds_nothing_in_a_container_without_one(kind: str) -> None:
    async with open_pool(**pool_of(kind)) as watch:
        report = await watch.run(asking(0))
        assert report.exit_code == 1  # no device, or no driver


async def test_a_gpu_that_is_held_is_not_given_to_another_and_comes_back() -> None:
    async with open_pool(**pool_of(sandbox.strongest())) as watch:
        await watch.executor.launch(
            holding := launch_request("sleep 600", resources=asking(MACHINE.gpu_count).resources)
        )
        await units_up(watch, 1)
        with pytest.raises(NoCapacity, match="fewer than 1 GPUs are free"):
            await watch.executor.launch(asking(1))
        await watch.executor.cancel(holding.attempt_id, grace_s=0.1)
        await watch.ended(holding.attempt_id)
        assert (await said(watch, 1)).split()[0] == b"1"


async def test_two_containers_share_one() -> None:
    async with open_pool(**pool_of(sandbox.strongest())) as watch:
        first, second = await asyncio.gather(said(watch, 0.5), said(watch, 0.5))
        assert first == second
