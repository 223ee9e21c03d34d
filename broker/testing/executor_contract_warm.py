"""The promises of `broker.ports.Warmable` as tests; part of the executor contract."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio

import pytest

from broker.model.errors import NoCapacity
from broker.model.jobs import AttemptState
from broker.model.pools import Capability, KeepWarm, Pool
from broker.ports import Warmable
from broker.testing.builders import launch_request
from broker.testing.executor_watch import PATIENCE_S, Watch


class WarmContract:
    """Containers stay without work as long, and as many, as was asked for last, where the executor can do that."""

    @pytest.fixture
    def warmable(self, watch: Watch) -> Watch:
        assert isinstance(watch.executor, Warmable) == (Capability.KEEP_WARM in watch.executor.capabilities)
        if Capability.KEEP_WARM not in watch.executor.capabilities:
            pytest.skip("this executor can't change how containers are kept warm")
        return watch

    async def test_an_idle_container_ends_as_soon_as_a_shorter_window_has_passed(self, warmable: Watch) -> None:
        await self._keep(warmable, KeepWarm(scaledown_window_s=3_600.0))
        await warmable.run(launch_request("true"))
        assert await self._ready(warmable) == 1
        await self._keep(warmable, KeepWarm(scaledown_window_s=0.0))
        await self._until(warmable, 0)

    async def test_as_many_are_up_as_are_to_be_at_least(self, warmable: Watch, pool: Pool) -> None:
        await self._keep(warmable, KeepWarm(scaledown_window_s=0.0, min_containers=pool.max_units))
        await self._until(warmable, pool.max_units)
        await self._keep(warmable, KeepWarm(scaledown_window_s=0.0))
        await self._until(warmable, 0)

    async def test_it_ends_none_that_works(self, warmable: Watch) -> None:
        request = launch_request("echo on; sleep 0.5; echo off")
        await warmable.launch(request)
        await warmable.says(request.attempt_id, b"on")
        await self._keep(warmable, KeepWarm(scaledown_window_s=0.0))
        assert (await warmable.ended(request.attempt_id)).state is AttemptState.SUCCEEDED

    async def test_no_more_than_the_pool_may_have(self, warmable: Watch, pool: Pool) -> None:
        before = (await warmable.executor.capacity()).keep_warm
        with pytest.raises(NoCapacity):
            await self._set(warmable, KeepWarm(scaledown_window_s=1.0, min_containers=pool.max_units + 1))
        assert (await warmable.executor.capacity()).keep_warm == before

    async def _keep(self, watch: Watch, setting: KeepWarm) -> None:
        for _ in range(2):
            await self._set(watch, setting)
            assert (await watch.executor.capacity()).keep_warm == setting

    async def _set(self, watch: Watch, setting: KeepWarm) -> None:
        assert isinstance(watch.executor, Warmable)
        await watch.executor.keep_warm(setting)

    async def _ready(self, watch: Watch) -> int:
        return sum(unit.ready for unit in (await watch.executor.capacity()).units)

    async def _until(self, watch: Watch, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self._ready(watch) != count:
                await asyncio.sleep(0.02)
