"""The contract on a pool that is slow to start, or to attach to: one executor that stays open from test to test.

    class TestRayPool(SharedPool, ExecutorContract):
        @pytest.fixture(scope="class")
        @classmethod
        def make_executor(cls, …) -> Callable[[], Executor]: ...

The tests of the class share an event loop, so async fixtures of yours need `loop_scope="class"` too. A test that has
closed the executor, or opened another in its place, leaves it to be opened again. The pool is yours to end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from broker.model.jobs import LaunchRequest
from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.executor_contract_line import filled
from broker.testing.executor_watch import Watch


class SharedPool:
    """Fixtures in place of those of `ContractFixtures`."""

    pytestmark = pytest.mark.asyncio(loop_scope="class")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def kept(cls, make_executor: Callable[[], Executor]) -> AsyncIterator[Executor]:
        """The executor that stays open over all tests of a class."""
        kept = make_executor()
        yield kept
        await kept.close(stop=False)

    @pytest_asyncio.fixture(loop_scope="class")
    async def executor(self, kept: Executor) -> Executor:
        """The executor that is kept, open."""
        await kept.open()
        return kept

    @pytest_asyncio.fixture(loop_scope="class")
    async def watch(self, executor: Executor) -> AsyncIterator[Watch]:
        """What watches it, and ends what was launched."""
        watch = Watch(executor)
        yield watch
        try:
            await watch.end_all()
        finally:
            if watch.executor is not executor:
                await watch.executor.close(stop=False)

    @pytest_asyncio.fixture(loop_scope="class")
    async def full(self, watch: Watch, pool: Pool) -> list[LaunchRequest]:
        """The requests of attempts that fill the pool."""
        return await filled(watch, pool)
