"""What a pool says of itself, and what outlives the broker, as tests of `broker.ports`; see `executor_contract`."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from broker.model.errors import NoCapacity, Rejected
from broker.model.jobs import AttemptState
from broker.model.pools import Capability, Pool
from broker.model.usage import AttemptUsage, UsageReport
from broker.ports import Executor, Scalable
from broker.testing.builders import SMALL, launch_request
from broker.testing.executor_watch import PATIENCE_S, Watch


class PollContract:
    """Polls wait for news, and start again when they must."""

    async def test_without_news_it_waits_that_long(self, watch: Watch) -> None:
        await watch.run(launch_request("true"))
        version = (await watch.executor.poll(0)).version
        began = time.monotonic()
        poll = await watch.executor.poll(version, 0.3)
        assert 0.2 < time.monotonic() - began < PATIENCE_S
        assert (poll.version, poll.reports) == (version, ())

    async def test_news_end_the_wait(self, watch: Watch) -> None:
        version = (await watch.executor.poll(0)).version
        waiting = asyncio.create_task(watch.executor.poll(version, 2 * PATIENCE_S))
        await watch.launch(launch_request("true"))
        async with asyncio.timeout(PATIENCE_S):
            poll = await waiting
        assert poll.reports and poll.version > version

    async def test_a_version_of_an_earlier_life_means_all(self, watch: Watch) -> None:
        request = launch_request("true")
        await watch.run(request)
        poll = await watch.executor.poll(1 << 60)
        assert request.attempt_id in {report.attempt_id for report in poll.reports}


class RestartContract:
    """The broker may end and start again: attempts go on, and are found. What dies is reported."""

    async def test_attempts_outlive_the_broker(self, watch: Watch, make_executor: Callable[[], Executor]) -> None:
        request = launch_request("echo on; sleep 1; echo off")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await self._restart(watch, make_executor)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"on\noff\n"

    async def test_a_launch_repeated_after_a_restart_starts_nothing(
        self, watch: Watch, make_executor: Callable[[], Executor]
    ) -> None:
        running, over = launch_request("echo once; sleep 1"), launch_request("echo once")
        await watch.run(over)
        await watch.launch(running)
        await watch.says(running.attempt_id, b"once")
        await self._restart(watch, make_executor)
        for request in (running, over):
            await watch.executor.launch(request)
            assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
            assert await watch.output(request.attempt_id) == b"once\n"

    async def test_a_cancel_before_the_launch_is_remembered_across_a_restart(
        self, watch: Watch, make_executor: Callable[[], Executor]
    ) -> None:
        request = launch_request("echo ran")
        await watch.executor.cancel(request.attempt_id)
        await self._restart(watch, make_executor)
        assert (await watch.run(request)).state is AttemptState.CANCELLED

    async def test_two_brokers_one_after_the_other_read_the_same_usage(
        self, watch: Watch, make_executor: Callable[[], Executor]
    ) -> None:
        request = launch_request("true")
        await watch.run(request)
        before = [one for one in (await watch.executor.usage(0)).attempts if one.attempt_id == request.attempt_id]
        await self._restart(watch, make_executor)
        after = [one for one in (await watch.executor.usage(0)).attempts if one.attempt_id == request.attempt_id]
        assert before == after != []

    async def _restart(self, watch: Watch, make_executor: Callable[[], Executor]) -> None:
        await watch.executor.close(stop=False)
        watch.executor = make_executor()
        await watch.executor.open()
        watch.version = 0


class CapacityContract:
    """What is free is what can be launched."""

    async def test_what_is_free_is_part_of_what_is_there(self, watch: Watch, pool: Pool) -> None:
        capacity = await watch.executor.capacity()
        assert len(capacity.units) <= max(capacity.max_units, 1)
        assert capacity.note
        for unit in capacity.units:
            assert unit.total.fits(unit.free)

    async def test_a_running_attempt_takes_room(self, watch: Watch, pool: Pool) -> None:
        request = launch_request("sleep 3600", resources=pool.unit)
        await watch.launch(request)
        report = await watch.running(request.attempt_id)
        units = {unit.unit_id: unit for unit in (await watch.executor.capacity()).units}
        (held,) = (units[unit_id] for unit_id in report.unit_ids)
        assert not held.free.fits(pool.unit)

    async def test_a_full_pool_refuses(self, watch: Watch, pool: Pool) -> None:
        accepted = []
        with suppress(NoCapacity, Rejected):
            for _ in range(pool.max_units + 5):
                request = launch_request("sleep 3600", resources=pool.unit)
                watch.launched.add(request.attempt_id)
                await watch.executor.launch(request)
                accepted.append(request)
        assert 1 <= len(accepted) <= pool.max_units
        for request in accepted:
            await watch.running(request.attempt_id)
        await watch.executor.cancel(accepted[0].attempt_id, grace_s=0.0)
        await watch.ended(accepted[0].attempt_id)
        await watch.launch(launch_request("true", resources=pool.unit))

    async def test_idle_containers_give_way_where_it_says_so(self, watch: Watch, pool: Pool) -> None:
        if not (await watch.executor.capacity()).replaces_idle:
            pytest.skip("this executor keeps idle containers, or has none")
        for number in range(pool.max_units + 1):
            unlike = replace(SMALL, memory_bytes=SMALL.memory_bytes + number * 2**20)
            assert (await watch.run(launch_request("true", resources=unlike))).state is AttemptState.SUCCEEDED
        assert len((await watch.executor.capacity()).units) <= pool.max_units


class ScaleContract:
    """Units come and go on request, where the executor can scale."""

    @pytest.fixture
    def scalable(self, watch: Watch) -> Watch:
        assert isinstance(watch.executor, Scalable) == (Capability.SCALE in watch.executor.capabilities)
        if Capability.SCALE not in watch.executor.capabilities:
            pytest.skip("this executor can't scale")
        return watch

    async def test_it_grows(self, scalable: Watch, pool: Pool) -> None:
        await self._scale(scalable, 1)
        async with asyncio.timeout(PATIENCE_S):
            while not any(unit.ready for unit in (await scalable.executor.capacity()).units):
                await asyncio.sleep(0.05)
        await self._scale(scalable, 0)

    async def test_not_beyond_its_limit(self, scalable: Watch, pool: Pool) -> None:
        with pytest.raises(NoCapacity):
            await self._scale(scalable, pool.max_units + 1)

    async def test_it_ends_no_unit_that_works(self, scalable: Watch) -> None:
        request = launch_request("echo on; sleep 0.5; echo off")
        await scalable.launch(request)
        await scalable.says(request.attempt_id, b"on")
        await self._scale(scalable, 0)
        assert (await scalable.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await scalable.output(request.attempt_id) == b"on\noff\n"

    async def _scale(self, watch: Watch, units: int) -> None:
        assert isinstance(watch.executor, Scalable)
        await watch.executor.scale(units)


class UsageContract:
    """What is measured can be charged: inside units, without overlap or gap, and never changed later."""

    async def test_an_attempt_s_interval_holds_all_of_its_run(self, watch: Watch) -> None:
        requests = [launch_request("sleep 0.1") for _ in range(4)]
        for request in requests:
            await watch.launch(request)
        for request in requests:
            await watch.ended(request.attempt_id)
        usage = await watch.executor.usage(0)
        check(usage)
        for request in requests:
            report = watch.reports[request.attempt_id]
            lines = lines_of(usage, request.attempt_id)
            assert {line.unit_id for line in lines} == set(report.unit_ids)
            assert report.started_ns is not None and report.ended_ns is not None
            assert lines[0].started_ns <= report.started_ns
            assert lines[-1].ended_ns is not None and lines[-1].ended_ns >= report.ended_ns

    async def test_what_runs_is_open(self, watch: Watch) -> None:
        request = launch_request("sleep 3600")
        await watch.launch(request)
        await watch.running(request.attempt_id)
        usage = await watch.executor.usage(0)
        check(usage)
        (line,) = lines_of(usage, request.attempt_id)
        assert line.ended_ns is None and line.resources.fits(request.resources)
        assert next(unit for unit in usage.units if unit.unit_id == line.unit_id).ended_ns is None

    async def test_what_was_reported_is_never_changed(self, watch: Watch) -> None:
        over, going = launch_request("true"), launch_request("sleep 1")
        await watch.run(over)
        await watch.launch(going)
        before = await watch.executor.usage(0)
        await watch.ended(going.attempt_id)
        await watch.run(launch_request("true"))
        after = await watch.executor.usage(0)
        check(after)
        assert_kept(before, after)

    async def test_it_is_complete_from_the_time_asked_for(self, watch: Watch) -> None:
        first, second = launch_request("true"), launch_request("sleep 0.2")
        await watch.run(first)
        split_ns = (await watch.executor.usage(0)).as_of_ns
        await watch.run(second)
        usage = await watch.executor.usage(split_ns)
        assert lines_of(usage, second.attempt_id)
        ends = [line.ended_ns for line in usage.attempts] + [unit.ended_ns for unit in usage.units]
        assert all(ended_ns is None or ended_ns >= split_ns for ended_ns in ends)
        held = {line.unit_id for line in usage.attempts}
        assert held <= {unit.unit_id for unit in usage.units}

    async def test_an_attempt_that_never_ran_is_measured_truly(self, watch: Watch) -> None:
        request = launch_request("true", setup="sleep 0.2; exit 1")
        report = await watch.run(request)
        assert report.started_ns is None and report.ended_ns is not None
        usage = await watch.executor.usage(0)
        check(usage)
        assert all((line.ended_ns or 0) >= report.ended_ns for line in lines_of(usage, request.attempt_id))


def lines_of(usage: UsageReport, attempt_id: str) -> list[AttemptUsage]:
    """The intervals of an attempt, in order."""
    return sorted((one for one in usage.attempts if one.attempt_id == attempt_id), key=lambda one: one.started_ns)


def check(usage: UsageReport) -> None:
    """Intervals lie inside their units, and those of one attempt in one unit follow each other without a gap."""
    units = {unit.unit_id: unit for unit in usage.units}
    assert len(units) == len(usage.units), "a unit is there twice"
    for unit in usage.units:
        assert unit.started_ns <= (unit.ready_ns or unit.started_ns) <= (unit.ended_ns or usage.as_of_ns), unit
    for line in usage.attempts:
        unit = units[line.unit_id]
        assert unit.started_ns <= line.started_ns <= (line.ended_ns or usage.as_of_ns) <= usage.as_of_ns, (unit, line)
        assert line.ended_ns is not None or unit.ended_ns is None, (unit, line)
        assert unit.ended_ns is None or (line.ended_ns or 0) <= unit.ended_ns, (unit, line)
    for attempt_id, unit_id in {(line.attempt_id, line.unit_id) for line in usage.attempts}:
        lines = [line for line in lines_of(usage, attempt_id) if line.unit_id == unit_id]
        for earlier, later in itertools.pairwise(lines):
            assert earlier.ended_ns == later.started_ns, (earlier, later)


def assert_kept(before: UsageReport, after: UsageReport) -> None:
    """Nothing before `before.as_of_ns` was added or changed."""
    assert before.as_of_ns <= after.as_of_ns
    old, new = _ends(before), _ends(after)
    for key, ended_ns in old.items():
        later_ns = new[key]
        if ended_ns is None:
            assert later_ns is None or later_ns >= before.as_of_ns, f"ended before it was said to go on: {key}"
        else:
            assert later_ns == ended_ns, f"another end: {key}"
    for _, _, started_ns in new.keys() - old.keys():
        assert started_ns >= before.as_of_ns, "an interval was added late"


def _ends(usage: UsageReport) -> dict[tuple[str, str, int], int | None]:
    ends = {("", unit.unit_id, unit.started_ns): unit.ended_ns for unit in usage.units}
    return ends | {(line.attempt_id, line.unit_id, line.started_ns): line.ended_ns for line in usage.attempts}
