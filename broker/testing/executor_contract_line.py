"""The line of a pool that is full, as tests of `broker.ports`; see `executor_contract`."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from itertools import pairwise
from typing import Any, Final

import pytest

from broker.model.errors import NoCapacity, Rejected
from broker.model.jobs import AttemptState, LaunchRequest
from broker.model.pools import Pool
from broker.ports import Executor
from broker.testing.builders import launch_request
from broker.testing.executor_contract_pool import check, lines_of
from broker.testing.executor_watch import Watch

_TRIES: Final = 5
_Test = Callable[[Any, Watch, Pool, list[LaunchRequest]], Awaitable[None]]


class GivenBack(Exception):
    """One that waited was given back to the broker before its turn came."""


def tried_again(test: _Test) -> _Test:
    """The test, done again on a pool filled anew where the machine was so busy that one did not get its turn."""

    @wraps(test)
    async def tried(self: Any, watch: Watch, pool: Pool, full: list[LaunchRequest]) -> None:
        for _ in range(_TRIES - 1):
            try:
                return await test(self, watch, pool, full)
            except GivenBack:
                await watch.end_all()
                watch.launched.clear()
                full = await filled(watch, pool)
        await test(self, watch, pool, full)

    return tried


async def had_its_turn(watch: Watch, request: LaunchRequest) -> AttemptState:
    """Waits for the end of one that waited. Raises `GivenBack`."""
    ended = await watch.ended(request.attempt_id)
    if ended.state is AttemptState.REFUSED:
        raise GivenBack(ended.reason)
    return ended.state


async def filled(watch: Watch, pool: Pool) -> list[LaunchRequest]:
    """What fills the pool, going on until it is cancelled."""
    if not (await watch.executor.capacity()).line:
        pytest.skip("this executor lets nothing wait")
    running: list[LaunchRequest] = []
    with suppress(NoCapacity):
        while len(running) <= pool.max_units:
            request = launch_request("sleep 3600", resources=pool.unit)
            watch.launched.add(request.attempt_id)
            await watch.executor.launch(request)
            running.append(request)
    for request in running:
        await watch.running(request.attempt_id)
    return running


class LineContract:
    """Launches with `in_line` wait for the place of one like them, where the executor lets any wait."""

    @pytest.fixture
    async def full(self, watch: Watch, pool: Pool) -> list[LaunchRequest]:
        return await filled(watch, pool)

    async def _line_up(self, watch: Watch, pool: Pool, run: str) -> LaunchRequest:
        request = launch_request(run, resources=pool.unit, in_line=True)
        watch.launched.add(request.attempt_id)
        await watch.executor.launch(request)
        return request

    @tried_again
    async def test_they_take_over_a_place_one_after_the_other(
        self, watch: Watch, pool: Pool, full: list[LaunchRequest]
    ) -> None:
        waiting = [await self._line_up(watch, pool, "echo ran") for _ in range(3)]
        before = await watch.executor.usage(0)
        assert not [line for request in waiting for line in lines_of(before, request.attempt_id)]
        await watch.executor.cancel(full[0].attempt_id, grace_s=0.0)
        for request in waiting:
            assert await had_its_turn(watch, request) is AttemptState.SUCCEEDED
            assert await watch.output(request.attempt_id) == b"ran\n"
        usage = await watch.executor.usage(0)
        check(usage)
        lines = [line for request in waiting for line in lines_of(usage, request.attempt_id)]
        assert [line.started_ns for line in lines] == sorted(line.started_ns for line in lines)
        assert all((one.ended_ns or 0) <= next_.started_ns for one, next_ in pairwise(lines))
        assert all(line.started_ns >= before.as_of_ns for line in lines)
        for request in full[1:]:
            assert watch.reports[request.attempt_id].state is AttemptState.RUNNING

    @tried_again
    async def test_one_that_waits_can_be_cancelled(self, watch: Watch, pool: Pool, full: list[LaunchRequest]) -> None:
        first, second = [await self._line_up(watch, pool, "echo ran") for _ in range(2)]
        await watch.executor.cancel(first.attempt_id)
        assert await had_its_turn(watch, first) is AttemptState.CANCELLED
        assert await watch.output(first.attempt_id) == b""
        await watch.executor.cancel(full[0].attempt_id, grace_s=0.0)
        assert await had_its_turn(watch, second) is AttemptState.SUCCEEDED
        assert not lines_of(await watch.executor.usage(0), first.attempt_id)

    async def test_one_that_waits_in_vain_is_given_back(
        self, watch: Watch, pool: Pool, full: list[LaunchRequest]
    ) -> None:
        request = await self._line_up(watch, pool, "echo ran")
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.REFUSED
        assert report.reason
        assert not lines_of(await watch.executor.usage(0), request.attempt_id)

    async def test_nothing_waits_for_the_place_of_another_kind(
        self, watch: Watch, pool: Pool, full: list[LaunchRequest]
    ) -> None:
        request = launch_request("true", in_line=True)
        with pytest.raises((NoCapacity, Rejected)):
            await watch.executor.launch(request)

    @tried_again
    async def test_a_repeat_waits_once(self, watch: Watch, pool: Pool, full: list[LaunchRequest]) -> None:
        request = await self._line_up(watch, pool, "echo ran")
        await watch.executor.launch(request)
        await watch.executor.cancel(full[0].attempt_id, grace_s=0.0)
        assert await had_its_turn(watch, request) is AttemptState.SUCCEEDED
        await watch.executor.launch(request)
        assert await watch.output(request.attempt_id) == b"ran\n"

    async def test_those_that_wait_outlive_the_broker(
        self, watch: Watch, pool: Pool, full: list[LaunchRequest], make_executor: Callable[[], Executor]
    ) -> None:
        request = await self._line_up(watch, pool, "echo ran")
        await watch.executor.close(stop=False)
        watch.executor = make_executor()
        await watch.executor.open()
        watch.version = 0
        await watch.executor.launch(request)
        await watch.executor.cancel(full[0].attempt_id, grace_s=0.0)
        # A broker that takes long to come back finds that it has waited long enough.
        assert (await watch.ended(request.attempt_id)).state in (AttemptState.SUCCEEDED, AttemptState.REFUSED)
        check(await watch.executor.usage(0))
