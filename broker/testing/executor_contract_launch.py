"""What an attempt is given and what comes out of it, as tests of `broker.ports.Executor`; see `executor_contract`."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from broker.model.errors import NoCapacity, Rejected
from broker.model.jobs import AttemptState, FunctionCall, LaunchRequest
from broker.model.pools import Capability, Pool
from broker.model.resources import Resources
from broker.testing.builders import launch_request
from broker.testing.executor_watch import PATIENCE_S, Watch

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def call_request(function: Callable[..., Any], *arguments: Any, **fields: Any) -> LaunchRequest:
    """A request that calls a Python function."""
    call = FunctionCall(blob="0" * 64, name=function.__name__, python=HERE)
    payload = cloudpickle.dumps((function, arguments, {}))
    return launch_request(function=call, function_payload=payload, **fields)


class LaunchContract:
    """An attempt runs once, with what its request names."""

    async def test_a_command_runs_to_its_end(self, watch: Watch) -> None:
        request = launch_request("echo hello")
        report = await watch.run(request)
        assert (report.state, report.exit_code, report.signal) == (AttemptState.SUCCEEDED, 0, None)
        assert report.started_ns is not None and report.unit_ids
        assert await watch.output(request.attempt_id) == b"hello\n"
        assert await watch.output(request.attempt_id, "stderr") == b""

    async def test_a_launch_repeated_starts_nothing(self, watch: Watch) -> None:
        request = launch_request("echo once")
        await watch.launch(request)
        await asyncio.gather(*(watch.executor.launch(request) for _ in range(5)))
        await watch.ended(request.attempt_id)
        await watch.executor.launch(request)
        await watch.run(launch_request("echo other"))
        assert await watch.output(request.attempt_id) == b"once\n"
        assert watch.reports[request.attempt_id].state is AttemptState.SUCCEEDED

    async def test_many_launches_at_once_all_run_or_are_refused(self, watch: Watch) -> None:
        requests = [launch_request(f"echo {number}") for number in range(16)]
        await asyncio.gather(*(watch.launch(request) for request in requests))
        for number, request in enumerate(requests):
            assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
            assert await watch.output(request.attempt_id) == f"{number}\n".encode()

    async def test_what_no_unit_can_hold_is_not_started(self, watch: Watch, pool: Pool) -> None:
        for held in (
            Resources(cpus=pool.unit.cpus + 10_000),
            Resources(memory_bytes=pool.unit.memory_bytes + (1 << 50)),
            Resources(gpus=pool.unit.gpus + 10_000, gpu_model=pool.unit.gpu_model),
        ):
            request = launch_request("true", resources=held)
            with pytest.raises((NoCapacity, Rejected)):
                await watch.executor.launch(request)
            poll = await watch.executor.poll(0)
            assert request.attempt_id not in {report.attempt_id for report in poll.reports}

    async def test_words_are_given_as_they_are(self, watch: Watch) -> None:
        request = launch_request(argv=("printf", "%s|", "a b", "$HOME", "*", "ü"))
        await watch.run(request)
        assert (await watch.output(request.attempt_id)).decode() == "a b|$HOME|*|ü|"

    async def test_a_script_is_bash_s(self, watch: Watch) -> None:
        request = launch_request("words=(a b); [[ ${#words[@]} == 2 ]] && echo ${words[1]}")
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"b\n"

    async def test_the_environment_is_what_the_request_names(self, watch: Watch) -> None:
        request = launch_request("env -0", envs={"LR": "0.1", "TEXT": "two\nlines = ü"})
        await watch.run(request)
        shown = (await watch.output(request.attempt_id)).decode().split("\0")
        seen = dict(line.split("=", 1) for line in shown if line)
        assert (seen.pop("LR"), seen.pop("TEXT")) == ("0.1", "two\nlines = ü")
        assert seen.pop("BROKER_ATTEMPT_ID") == request.attempt_id
        assert {"PATH", "HOME"} <= set(seen)
        assert not [name for name in seen if name.startswith(("AWS_", "PYTEST_", "SSH_"))]

    async def test_a_command_works_in_a_private_copy(self, watch: Watch, tmp_path: Path) -> None:
        code = tmp_path / "code"
        code.mkdir()
        (code / "in.txt").write_text("x")
        (tmp_path / "data.txt").write_text("mounted")
        request = launch_request(
            "cat in.txt mnt/data.txt; echo changed > in.txt; echo new > new.txt",
            workdir=str(code),
            file_mounts={"mnt/data.txt": str(tmp_path / "data.txt")},
        )
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"xmounted"
        assert [(path.name, path.read_text()) for path in code.iterdir()] == [("in.txt", "x")]

    async def test_a_workdir_that_is_gone_fails_the_attempt(self, watch: Watch, tmp_path: Path) -> None:
        report = await watch.run(launch_request("true", workdir=str(tmp_path / "gone")))
        assert report.state is AttemptState.FAILED
        assert "gone" in report.reason

    async def test_a_setup_that_fails_fails_the_attempt(self, watch: Watch) -> None:
        request = launch_request("echo never", setup="echo can not >&2; exit 9")
        report = await watch.run(request)
        assert report.state is AttemptState.FAILED
        assert "setup" in report.reason
        assert await watch.output(request.attempt_id) == b""

    async def test_requirements_that_can_t_be_installed_fail_the_attempt(self, watch: Watch) -> None:
        request = launch_request("echo never", requirements=("/nowhere/absent-1.0-py3-none-any.whl",))
        report = await watch.run(request)
        assert report.state is AttemptState.FAILED
        assert "absent-1.0" in report.reason
        assert await watch.output(request.attempt_id) == b""

    async def test_a_request_s_secret_is_in_no_report(self, watch: Watch) -> None:
        secret = "s3cr3t-94817"
        request = launch_request(
            "no-such-program $TOKEN", envs={"TOKEN": secret}, secret_names=frozenset({"TOKEN"}), setup="exit 3"
        )
        assert secret not in repr(await watch.run(request))

    async def test_a_secret_in_a_file_is_its_owner_s_and_gone_at_the_end(self, watch: Watch) -> None:
        if Capability.SECRET_FILES not in watch.executor.capabilities:
            pytest.skip("this executor puts no secrets into files")
        value = "line one\n  zwei ü\n\n"
        given = {"envs": {"KEY": value}, "secret_names": frozenset({"KEY"}), "secret_files": frozenset({"KEY"})}
        run = 'stat -c %a "$KEY" "$(dirname "$KEY")"; cat "$KEY"; ! env | grep zwei; echo "$KEY" >&2'
        request = launch_request(run, **given)
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"400\n700\n" + value.encode()
        place = Path((await watch.output(request.attempt_id, "stderr")).decode().strip())
        assert place.is_absolute() and place.name == "KEY"
        async with asyncio.timeout(PATIENCE_S):
            while place.exists():  # no event tells of it
                await asyncio.sleep(0.02)


class FunctionContract:
    """Python functions return and raise as themselves, where the executor runs any."""

    @pytest.fixture
    def caller(self, watch: Watch) -> Watch:
        if Capability.FUNCTIONS not in watch.executor.capabilities:
            pytest.skip("this executor runs no functions")
        return watch

    async def test_a_value_comes_back(self, caller: Watch) -> None:
        def double(number: int) -> int:
            print("doubling", number)
            return 2 * number

        request = call_request(double, 21)
        assert (await caller.run(request)).state is AttemptState.SUCCEEDED
        assert await self._outcome(caller, request) == ("value", 42)
        assert await caller.output(request.attempt_id) == b"doubling 21\n"

    async def test_an_exception_comes_back(self, caller: Watch) -> None:
        def refuse(number: int) -> int:
            raise ValueError(f"{number} is negative")

        request = call_request(refuse, -1)
        report = await caller.run(request)
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 1)
        kind, error, text = await self._outcome(caller, request)
        assert (kind, type(error), str(error)) == ("error", ValueError, "-1 is negative")
        assert "in refuse" in text

    async def test_a_function_may_end_its_process(self, caller: Watch) -> None:
        def leave() -> None:
            import os

            os._exit(5)

        request = call_request(leave)
        report = await caller.run(request)
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 5)
        assert await caller.executor.result(request.attempt_id) is None

    async def test_calls_do_not_see_each_other(self, caller: Watch) -> None:
        def mark() -> bool:
            import builtins
            import os

            seen = hasattr(builtins, "a_mark") or "A_MARK" in os.environ
            builtins.a_mark = True  # type: ignore[attr-defined]  # what a careless function might do
            os.environ["A_MARK"] = "1"
            return seen

        for request in [call_request(mark) for _ in range(3)]:
            await caller.run(request)
            assert await self._outcome(caller, request) == ("value", False)

    async def test_there_is_no_result_before_the_end(self, caller: Watch) -> None:
        def wait() -> None:
            import time

            print("waiting", flush=True)
            time.sleep(3600)

        request = call_request(wait)
        await caller.launch(request)
        await caller.says(request.attempt_id, b"waiting")
        assert await caller.executor.result(request.attempt_id) is None
        await caller.executor.cancel(request.attempt_id, grace_s=0.0)
        assert (await caller.ended(request.attempt_id)).state is AttemptState.CANCELLED

    async def test_an_unknown_attempt_has_no_result(self, caller: Watch) -> None:
        with pytest.raises(KeyError):
            await caller.executor.result("nobody-a1")

    async def _outcome(self, watch: Watch, request: LaunchRequest) -> tuple[Any, ...]:
        result = await watch.executor.result(request.attempt_id)
        assert result is not None
        outcome: tuple[Any, ...] = cloudpickle.loads(result)
        return outcome


class OutputContract:
    """Output is complete, apart, byte by byte, and there while the attempt runs."""

    async def test_streams_are_kept_apart_and_byte_by_byte(self, watch: Watch) -> None:
        request = launch_request(r"printf 'a\377\000b\r\n'; printf 'err\376' >&2")
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"a\xff\x00b\r\n"
        assert await watch.output(request.attempt_id, "stderr") == b"err\xfe"

    async def test_it_appears_while_the_command_runs(self, watch: Watch) -> None:
        request = launch_request("echo first; echo problem >&2; sleep 3600")
        await watch.launch(request)
        await watch.running(request.attempt_id)
        async with asyncio.timeout(PATIENCE_S):
            assert await watch.says(request.attempt_id, b"first\n") == b"first\n"
            assert await watch.says(request.attempt_id, b"problem\n", "stderr") == b"problem\n"
        chunk = await watch.executor.logs(request.attempt_id, "stdout", 6)
        assert (chunk.data, chunk.next_offset, chunk.complete) == (b"", 6, False)

    @pytest.mark.parametrize("limit", [1 << 12, 1 << 20])
    async def test_much_of_it_comes_in_pieces(self, watch: Watch, limit: int) -> None:
        request = launch_request("seq 1 50000")
        await watch.run(request)
        expected = "".join(f"{number}\n" for number in range(1, 50_001)).encode()
        assert await watch.output(request.attempt_id, limit=limit) == expected

    async def test_what_is_written_last_is_kept(self, watch: Watch) -> None:
        request = launch_request("trap 'printf last' EXIT; kill -TERM $$")
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"last"

    async def test_an_unknown_attempt_has_no_output(self, watch: Watch) -> None:
        with pytest.raises(KeyError):
            await watch.executor.logs("nobody-a1", "stdout")

    async def test_what_is_forgotten_is_gone(self, watch: Watch) -> None:
        request = launch_request("echo x")
        await watch.run(request)
        await watch.executor.forget([request.attempt_id, "nobody-a1"])
        await watch.executor.forget([request.attempt_id])
        with pytest.raises(KeyError):
            await watch.executor.logs(request.attempt_id, "stdout")
        poll = await watch.executor.poll(0)
        assert request.attempt_id not in {report.attempt_id for report in poll.reports}
