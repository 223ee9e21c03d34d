"""How attempts end, as tests of `broker.ports.Executor`; see `executor_contract`."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
import secrets

import pytest

from broker.model.jobs import AttemptState
from broker.testing.builders import launch_request
from broker.testing.executor_watch import PATIENCE_S, Watch, processes_with

_LONG_S = 30_000_000


class Leftovers:
    """Asks whether something of an attempt still runs; an executor of other machines overrides `alive`."""

    def mark(self) -> str:
        """A number of seconds that nobody else sleeps, to know a process by."""
        return f"{_LONG_S + secrets.randbelow(_LONG_S)}"

    def alive(self, mark: str) -> bool:
        """Whether a process that sleeps so many seconds is there."""
        return bool(processes_with(mark))

    async def seen(self, mark: str) -> None:
        """Waits until the mark is there."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.alive(mark):
                await asyncio.sleep(0.02)

    async def gone(self, mark: str) -> None:
        """Waits until it is gone, for a short while."""
        async with asyncio.timeout(PATIENCE_S):
            while self.alive(mark):
                await asyncio.sleep(0.02)


class EndContract(Leftovers):
    """Ends are reported as they were, and nothing is left behind."""

    @pytest.mark.parametrize("code", [1, 3, 126, 255])
    async def test_exit_codes_are_true(self, watch: Watch, code: int) -> None:
        report = await watch.run(launch_request(f"exit {code}"))
        assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, code, None)
        assert report.reason

    @pytest.mark.parametrize("signum", [6, 9, 11, 15])
    async def test_signals_are_true(self, watch: Watch, signum: int) -> None:
        report = await watch.run(launch_request(f"ulimit -c 0; kill -{signum} $$"))
        assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, 128 + signum, signum)
        assert report.reason

    async def test_a_program_that_does_not_exist_is_named(self, watch: Watch) -> None:
        report = await watch.run(launch_request(argv=("no-such-program", "x")))
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 127)
        assert "no-such-program" in report.reason

    async def test_a_script_s_missing_command_is_127(self, watch: Watch) -> None:
        request = launch_request("no-such-program x")
        report = await watch.run(request)
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 127)
        assert b"no-such-program" in await watch.output(request.attempt_id, "stderr")

    async def test_a_file_that_can_t_be_executed_is_126(self, watch: Watch) -> None:
        report = await watch.run(launch_request(argv=("/etc/passwd",)))
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 126)
        assert "/etc/passwd" in report.reason

    async def test_time_is_limited(self, watch: Watch) -> None:
        mark = self.mark()
        request = launch_request(f"trap '' TERM; setsid sleep {mark} & echo on; sleep {mark}", max_duration_s=0.5)
        report = await watch.run(request)
        assert report.state is AttemptState.TIMED_OUT
        assert report.started_ns is not None and report.ended_ns is not None
        assert report.ended_ns - report.started_ns >= 500_000_000
        assert "0.5" in report.reason
        await self.gone(mark)

    async def test_time_is_not_limited_early(self, watch: Watch) -> None:
        report = await watch.run(launch_request("sleep 0.3", max_duration_s=30.0))
        assert report.state is AttemptState.SUCCEEDED

    async def test_children_do_not_outlive_their_attempt(self, watch: Watch) -> None:
        mark = self.mark()
        script = (
            f"setsid sleep {mark} >/dev/null 2>&1 & (trap '' TERM HUP; nohup sleep {mark} >/dev/null 2>&1 &) ;"
            f"until pgrep -fx 'sleep {mark}' >/dev/null || [ $((++i)) -gt 100 ]; do sleep 0.02; done; exit 4"
        )
        report = await watch.run(launch_request(script))
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 4)
        await self.gone(mark)


class CancelContract(Leftovers):
    """Cancel works before, during and after, on the whole tree."""

    async def test_it_ends_a_tree_that_won_t_die(self, watch: Watch) -> None:
        mark = self.mark()
        request = launch_request(
            f"trap '' TERM INT HUP; (setsid bash -c 'trap \"\" TERM; sleep {mark}; sleep {mark}') & "
            f"env -i sleep {mark} & echo on; while :; do wait; done"
        )
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await self.seen(mark)
        await watch.executor.cancel(request.attempt_id, grace_s=0.3)
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.CANCELLED
        await self.gone(mark)

    async def test_a_command_may_tidy_up(self, watch: Watch) -> None:
        request = launch_request("trap 'echo tidied; exit 7' TERM; echo on; while :; do sleep 0.05; done")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(request.attempt_id, grace_s=2 * PATIENCE_S)
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.CANCELLED
        assert b"tidied" in await watch.output(request.attempt_id)

    async def test_before_the_launch_it_is_remembered(self, watch: Watch) -> None:
        request = launch_request("echo ran")
        await watch.executor.cancel(request.attempt_id)
        report = await watch.run(request)
        assert (report.state, report.started_ns) == (AttemptState.CANCELLED, None)
        assert await watch.output(request.attempt_id) == b""

    async def test_right_after_the_launch_nothing_is_left(self, watch: Watch) -> None:
        for _ in range(5):
            mark = self.mark()
            request = launch_request(f"exec sleep {mark}")
            await watch.launch(request)
            await watch.executor.cancel(request.attempt_id, grace_s=0.3)
            assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
            await self.gone(mark)

    async def test_a_setup_that_hangs_ends_too(self, watch: Watch) -> None:
        mark = self.mark()
        request = launch_request("echo never", setup=f"sleep {mark}")
        await watch.launch(request)
        await self.seen(mark)
        await watch.executor.cancel(request.attempt_id, grace_s=0.3)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
        await self.gone(mark)

    async def test_after_the_end_it_changes_nothing(self, watch: Watch) -> None:
        request = launch_request("true")
        await watch.run(request)
        await asyncio.gather(*(watch.executor.cancel(request.attempt_id) for _ in range(3)))
        await watch.run(launch_request("true"))
        assert watch.reports[request.attempt_id].state is AttemptState.SUCCEEDED

    async def test_any_number_of_times(self, watch: Watch) -> None:
        request = launch_request("echo on; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await asyncio.gather(*(watch.executor.cancel(request.attempt_id, grace_s=1.0) for _ in range(5)))
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED

    async def test_it_ends_only_its_own(self, watch: Watch) -> None:
        first, second = (launch_request("echo on; sleep 3600") for _ in range(2))
        for request in (first, second):
            await watch.launch(request)
            await watch.running(request.attempt_id)
            await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(first.attempt_id, grace_s=0.3)
        assert (await watch.ended(first.attempt_id)).state is AttemptState.CANCELLED
        await watch.poll(0.5)
        assert watch.reports[second.attempt_id].state is AttemptState.RUNNING
