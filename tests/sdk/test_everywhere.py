"""The same functions on Ray, in local serverless containers and at Modal, under one daemon; only `pools` differs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import broker
from tests.executors.at_the_shell import Shell, broker_up
from tests.executors.modal.server.service import modal_server
from tests.executors.modal.server.world import TOKEN

CONFIG = """
[pools.ray]
executor = "ray"
kind = "cluster"
cpus = 2
memory = "2GiB"
max_nodes = 1
price = { usd_per_hour = "0.10", source = "the test" }

[pools.serverless]
executor = "local_serverless"
kind = "serverless"
max_containers = 2
price = { usd_per_hour = "0.10", source = "the test" }

[pools.modal]
executor = "modal"
kind = "serverless"
cpus = 4
memory = "8GiB"
max_containers = 4
scaledown_window = "0s"
price = { provider = "modal", product = "sandbox" }
options = { app = "gpu-broker", capacity_wait_s = 60 }
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Unlucky(Exception):
    """One of our own."""


@broker.function(cpu=0.5, memory="256MiB", timeout="5m")
def scaled(x: float, *, by: float = 2.0) -> tuple[float, str]:
    if x == 13:
        raise Unlucky("thirteen")
    return x * by, os.environ["BROKER_POOL"]


@broker.function(cpu=0.5, memory="256MiB")
def turned(data: bytes) -> bytes:
    return data[::-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """One daemon with a pool of each kind; the Modal that it knows is a server of this machine."""
    async with modal_server(tmp_path_factory.mktemp("modal")) as server:
        at = {"MODAL_SERVER_URL": server.world.url, "MODAL_TOKEN_ID": TOKEN[0], "MODAL_TOKEN_SECRET": TOKEN[1]}
        async with broker_up(CONFIG, at) as person:
            yield person


@pytest.fixture(autouse=True)
def this_broker(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_CONFIG", "BROKER_STATE_DIR"):
        monkeypatch.setenv(name, shell.env[name])
    monkeypatch.chdir(Path(shell.env["HOME"]))


@pytest.mark.parametrize("pool", ["ray", "serverless", "modal"])
async def test_a_function_does_the_same_everywhere(pool: str) -> None:
    there = scaled.with_options(pools=[pool])
    assert await there.remote.aio(21, by=3) == (63, pool)
    with pytest.raises(Unlucky, match="thirteen") as raised:
        await there.remote.aio(13)
    assert "in scaled" in raised.value.__notes__[0]
    assert [value async for value in there.map([1, 2, 3, 4])] == [(2, pool), (4, pool), (6, pool), (8, pool)]
    call = await there.spawn.aio(5)
    assert await call.result.aio() == (10, pool)
    assert (await call.wait.aio()).pool == pool
    data = os.urandom(300_000)
    assert await turned.with_options(pools=[pool]).remote.aio(data) == data[::-1]


async def test_a_call_that_is_waited_for_in_a_thread() -> None:
    assert (await asyncio.to_thread(scaled.remote, 4))[0] == 8


async def test_an_image_goes_to_the_pool_that_builds_it() -> None:
    image = broker.Image().apt_install("ffmpeg")
    with pytest.raises(broker.InvalidInput) as refused:
        await scaled.with_options(image=image, pools=["ray", "serverless"]).remote.aio(1)
    for pool in ("ray", "serverless"):
        assert f"{pool}: it needs the Debian packages ffmpeg" in str(refused.value)
    assert await scaled.with_options(image=image).remote.aio(1) == (2, "modal")
