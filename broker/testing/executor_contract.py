"""The promises of `broker.ports.Executor` as tests: subclass `ExecutorContract` and give it a pool and executors of it.

    class TestSlurmPool(ExecutorContract):
        @pytest.fixture
        def pool(self) -> Pool: ...  # at most a few units, so that it can be filled; `builders.pool` makes one

        @pytest.fixture
        def make_executor(self, pool: Pool, tmp_path: Path) -> Callable[[], Executor]: ...

        async def lose(self, executor: Executor, attempt_id: str) -> None: ...

Each call of `make_executor` gives a new, unopened executor on the same pool and state folder, as a broker that was
started again would make it. For a pool that is slow to start there is `executor_contract_shared`. Tests are coroutines:
pytest-asyncio in auto mode runs them.
"""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from broker.model.errors import ExecutorError
from broker.model.jobs import AttemptState
from broker.ports import Executor
from broker.testing.builders import launch_request
from broker.testing.executor_contract_ends import CancelContract, EndContract
from broker.testing.executor_contract_launch import FunctionContract, LaunchContract, OutputContract
from broker.testing.executor_contract_line import LineContract
from broker.testing.executor_contract_pool import (
    CapacityContract,
    PollContract,
    RestartContract,
    ScaleContract,
    UsageContract,
    check,
    lines_of,
)
from broker.testing.executor_contract_warm import WarmContract
from broker.testing.executor_watch import Watch


class ContractFixtures:
    """An executor that is open, and what watches it."""

    @pytest.fixture
    async def executor(self, make_executor: Callable[[], Executor]) -> AsyncIterator[Executor]:
        executor = make_executor()
        await executor.open()
        yield executor

    @pytest.fixture
    async def watch(self, executor: Executor) -> AsyncIterator[Watch]:
        watch = Watch(executor)
        yield watch
        try:
            await watch.end_all()
        finally:
            await watch.executor.close(stop=True)


class LossContract:
    """What dies under an attempt, and what is stopped, is reported."""

    async def lose(self, executor: Executor, attempt_id: str) -> None:
        """Kills what runs the attempt as a crash would: its worker process, node or container."""
        raise NotImplementedError(f"{type(self).__name__} must say how to lose what runs an attempt")

    async def test_what_is_lost_is_interrupted(self, watch: Watch) -> None:
        request = launch_request("echo on; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.running(request.attempt_id)
        await self.lose(watch.executor, request.attempt_id)
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.INTERRUPTED
        assert report.reason
        assert await watch.output(request.attempt_id) == b"on\n"
        check(await watch.executor.usage(0))
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED

    async def test_stop_ends_everything(self, watch: Watch, make_executor: Callable[[], Executor]) -> None:
        request = launch_request("echo on; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.close(stop=True)
        watch.executor = make_executor()
        await watch.executor.open()
        watch.version = 0
        report = await watch.ended(request.attempt_id)
        assert report.state in (AttemptState.CANCELLED, AttemptState.INTERRUPTED)
        usage = await watch.executor.usage(0)
        check(usage)
        assert all(line.ended_ns is not None for line in lines_of(usage, request.attempt_id))

    async def test_a_closed_executor_is_unreachable(self, watch: Watch) -> None:
        await watch.executor.close(stop=False)
        with pytest.raises(ExecutorError):
            await watch.executor.launch(launch_request("true"))
        await watch.executor.open()
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED

    async def test_opening_and_closing_twice_is_no_error(self, watch: Watch) -> None:
        await watch.executor.open()
        await watch.executor.close(stop=False)
        await watch.executor.close(stop=False)
        await watch.executor.open()


class ExecutorContract(
    LaunchContract,
    FunctionContract,
    OutputContract,
    EndContract,
    CancelContract,
    PollContract,
    RestartContract,
    LossContract,
    CapacityContract,
    LineContract,
    ScaleContract,
    WarmContract,
    UsageContract,
    ContractFixtures,
):
    """All promises of an executor."""
