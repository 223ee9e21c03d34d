"""What goes wrong at Modal, or on the way there, and what becomes of the attempt."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grpclib import Status
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import Misconfigured
from broker.model.jobs import AttemptState, LaunchRequest
from broker.model.pools import Pool
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.testing.builders import launch_request
from broker.testing.executor_contract_launch import call_request
from broker.testing.executor_contract_pool import check
from broker.testing.executor_watch import PATIENCE_S, Watch
from executors.modal_pool import in_container
from executors.remote.backoff import FIRST_S, LONGEST_S, Backoff
from tests.executors.modal.driving import UNIT_GPU, executor_on, functions_of, open_pool, pool_of
from tests.executors.modal.server.service import ModalServer

GPU_POOL = {"unit": UNIT_GPU, "gpu_models": ("H100", "L4"), "max_units": 4}
CPU = Resources(cpus=0.5, memory_bytes=GIB // 4)
GPU = Resources(cpus=0.5, memory_bytes=GIB // 4, gpus=1.0, gpu_model="H100")
KINDS = pytest.mark.parametrize("held", [CPU, GPU], ids=["second kind", "first kind"])


def call_of(held: Resources, name: str) -> str:
    return name if held.gpus else f"{name}V2"


async def test_without_capacity_the_next_gpu_is_tried(server: ModalServer, tmp_path: Path) -> None:
    server.faults.no_capacity = {"H100"}
    request = launch_request("true", resources=GPU)
    asked = ResourceRequest(gpu_choices=(Gpu(model="H100"), Gpu(model="L4")), gpu_ordered=True)
    request = replace(request, spec=replace(request.spec, resources=asked))
    async with open_pool(server, tmp_path / "state", options={"capacity_wait_s": 2.0}, **GPU_POOL) as watch:
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        usage = await watch.executor.usage(0)
        assert [unit.resources.gpu_model for unit in usage.units] == ["L4"]


@KINDS
async def test_without_any_it_goes_elsewhere(server: ModalServer, tmp_path: Path, held: Resources) -> None:
    server.faults.no_capacity = {"", "H100"}
    async with open_pool(server, tmp_path / "state", options={"capacity_wait_s": 0.3}, **GPU_POOL) as watch:
        report = await watch.run(launch_request("true", resources=held))
        assert report.state is AttemptState.REFUSED and "within 0.3 s" in report.reason
        usage = await watch.executor.usage(0)
        assert not usage.units, "nothing was paid for"
    assert not server.sandboxes.running(), "what waits for capacity would start later, for nobody"


@KINDS
@pytest.mark.parametrize("status", [Status.RESOURCE_EXHAUSTED, Status.PERMISSION_DENIED])
async def test_limits_and_permissions_send_it_elsewhere(
    server: ModalServer, tmp_path: Path, held: Resources, status: Status
) -> None:
    server.faults.fail(call_of(held, "SandboxCreate"), status, "the workspace says no")
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        report = await watch.run(launch_request("true", resources=held))
        assert report.state is AttemptState.REFUSED and "the workspace says no" in report.reason


@KINDS
async def test_throttled_calls_are_made_again_more_slowly(server: ModalServer, tmp_path: Path, held: Resources) -> None:
    server.faults.fail(call_of(held, "SandboxCreate"), Status.RESOURCE_EXHAUSTED, "rate limit exceeded", times=2)
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        assert (await watch.run(launch_request("true", resources=held))).state is AttemptState.SUCCEEDED
    assert len(server.world.seen(call_of(held, "SandboxCreate"))) == 3
    assert len(server.sandboxes.all) == 1


@KINDS
async def test_throttling_without_end_sends_it_elsewhere(server: ModalServer, tmp_path: Path, held: Resources) -> None:
    """Asked a few times within its wait for capacity, not as fast as the line allows."""
    server.faults.fail(call_of(held, "SandboxCreate"), Status.RESOURCE_EXHAUSTED, "too many requests")
    async with open_pool(server, tmp_path / "state", options={"capacity_wait_s": 2.0}, **GPU_POOL) as watch:
        report = await watch.run(launch_request("true", resources=held))
        assert report.state is AttemptState.REFUSED and "too many requests" in report.reason
    assert 2 <= len(server.world.seen(call_of(held, "SandboxCreate"))) <= 10


@given(st.integers(1, 40))
def test_pauses_grow_to_a_limit_and_differ(pauses: int) -> None:
    backoff, bound = Backoff(), FIRST_S
    for _ in range(pauses):
        assert bound / 2 <= backoff.next_s() <= bound
        bound = min(2 * bound, LONGEST_S)
    assert len({Backoff().next_s() for _ in range(20)}) > 1, "all that wait come back at once"


async def left_running(pool: Pool, folder: Path, held: Resources) -> tuple[Watch, LaunchRequest]:
    """An attempt that runs, and whose broker has gone."""
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    request = launch_request("echo on; sleep 1; echo off", resources=held)
    await watch.launch(request)
    await watch.says(request.attempt_id, b"on")
    await watch.executor.close(stop=False)
    return watch, request


@pytest.mark.parametrize(
    ("held", "functions"), [(CPU, False), (GPU, False), (CPU, True)], ids=["second kind", "first kind", "function"]
)
@pytest.mark.parametrize(("run", "end"), [("echo out", ("succeeded", 0)), ("echo out; exit 3", ("failed", 3))])
async def test_output_that_comes_after_the_end_is_whole(
    server: ModalServer, tmp_path: Path, held: Resources, functions: bool, run: str, end: tuple[str, int]
) -> None:
    """Modal tells the end before anything of its output."""
    fields = {"functions": True} if functions else GPU_POOL
    async with open_pool(server, tmp_path / "state", **fields) as watch:
        server.faults.reading = asyncio.Event()
        request = launch_request(run, resources=held)
        await watch.launch(request)
        await ended_there(server, functions=functions)
        await asyncio.sleep(0.2)  # the broker has been told of it
        assert not watch.reports.get(request.attempt_id) or not watch.reports[request.attempt_id].state.ended
        server.faults.reading.set()
        report = await watch.ended(request.attempt_id)
        assert (report.state, report.exit_code) == end
        assert await watch.output(request.attempt_id) == b"out\n"


async def test_an_end_without_its_output_is_no_reason_to_run_it_again(
    server: ModalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_container, "DRAIN_S", 0.2)
    async with open_pool(server, tmp_path / "state") as watch:
        server.faults.reading = asyncio.Event()
        report = await watch.run(launch_request("echo out", resources=CPU))
        assert report.state is AttemptState.SUCCEEDED and "was lost" in report.reason
        report = await watch.run(call_request(len, "abc", resources=CPU))
        assert report.state is AttemptState.INTERRUPTED, "what it returned is lost as well"
        server.faults.reading.set()


async def ended_there(server: ModalServer, *, functions: bool) -> None:
    """Waits until what it runs has ended."""
    async with asyncio.timeout(PATIENCE_S):
        if functions:
            while not any(call.status for call in server.functions.calls.values()):
                await asyncio.sleep(0.02)
            return
        while not server.sandboxes.all or server.sandboxes.running():
            await asyncio.sleep(0.02)


@KINDS
@pytest.mark.parametrize("status", [Status.UNAUTHENTICATED, Status.RESOURCE_EXHAUSTED, Status.PERMISSION_DENIED])
async def test_what_runs_is_not_given_up_by_a_broker_that_may_not_ask(
    server: ModalServer, tmp_path: Path, held: Resources, status: Status
) -> None:
    """A token that expires, or too many calls, while a new broker looks for what an earlier one launched."""
    pool, folder = pool_of(server, **GPU_POOL), tmp_path / "state"
    watch, request = await left_running(pool, folder, held)
    server.faults.fail(call_of(held, "SandboxWait"), status, "not now", times=3)
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"on\noff\n"
    assert len(server.sandboxes.all) == 1
    await watch.executor.close(stop=True)


@KINDS
@pytest.mark.parametrize("ahead_s", [-7200.0, 7200.0])
async def test_the_clock_of_modal_may_be_another(
    server: ModalServer, tmp_path: Path, held: Resources, ahead_s: float
) -> None:
    """Times are those of this machine, and credentials that look expired, or valid for long, are of use."""
    server.faults.clock_s = ahead_s
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        begun_ns = time.time_ns()
        report = await watch.run(launch_request("true", resources=held))
        assert report.state is AttemptState.SUCCEEDED
        usage = await watch.executor.usage(0)
        check(usage)
        (unit,) = usage.units
        times = [unit.started_ns, unit.ready_ns, report.started_ns, report.ended_ns, usage.as_of_ns, time.time_ns()]
        assert begun_ns <= times[0] and None not in times and times == sorted(times, key=lambda at: at or 0)


@KINDS
async def test_an_answer_that_is_lost_starts_nothing_twice(
    server: ModalServer, tmp_path: Path, held: Resources
) -> None:
    """Modal had accepted it; the client gave up; it is found by its name."""
    server.faults.fail_after(call_of(held, "SandboxCreate"), Status.UNAVAILABLE, times=5)
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        request = launch_request("echo once; sleep 1", resources=held)
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"once\n"
    assert len(server.sandboxes.all) == 1


@KINDS
async def test_what_modal_refuses_after_an_answer_that_was_lost_goes_on(
    server: ModalServer, tmp_path: Path, held: Resources
) -> None:
    """It is no refusal of what runs already: that it was taken for one would run it twice."""
    create = call_of(held, "SandboxCreate")
    server.faults.fail_after(create, Status.UNAVAILABLE)
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        request = launch_request("echo once; sleep 1", resources=held)
        await watch.launch(request)
        while not server.sandboxes.named(request.attempt_id):
            await asyncio.sleep(0.01)
        server.faults.fail(create, Status.RESOURCE_EXHAUSTED, "the limit is reached")
        assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"once\n"
    assert len(server.sandboxes.all) == 1


@KINDS
async def test_streams_that_break_lose_and_repeat_nothing(server: ModalServer, tmp_path: Path, held: Resources) -> None:
    server.faults.drop("SandboxStdioReadV2", times=4)
    server.faults.drop("SandboxGetLogs", times=4)
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        request = launch_request("for i in 1 2 3 4 5; do echo $i; echo e$i >&2; sleep 0.05; done", resources=held)
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"1\n2\n3\n4\n5\n"
        assert await watch.output(request.attempt_id, "stderr") == b"e1\ne2\ne3\ne4\ne5\n"


@KINDS
async def test_a_service_that_is_away_for_a_while_is_waited_for(
    server: ModalServer, tmp_path: Path, held: Resources
) -> None:
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        request = launch_request("echo on; sleep 1; echo off", resources=held)
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        server.faults.fail(call_of(held, "SandboxWait"), Status.INTERNAL, times=6)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"on\noff\n"


@KINDS
async def test_what_is_terminated_from_outside_is_interrupted(
    server: ModalServer, tmp_path: Path, held: Resources
) -> None:
    async with open_pool(server, tmp_path / "state", **GPU_POOL) as watch:
        request = launch_request("echo on; sleep 3600", resources=held)
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await server.sandboxes.end_all()
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.INTERRUPTED and "terminated" in report.reason


async def test_codes_that_modal_uses_itself_are_the_commands_own(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state") as watch:
        for code in (124, 137):
            report = await watch.run(launch_request(f"exit {code}"))
            assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, code, None)


async def test_modals_own_time_limit_is_told(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state", options={"startup_s": 0.5}) as watch:
        report = await watch.run(launch_request("true", setup="sleep 3600", max_duration_s=0.5))
        assert report.state is AttemptState.TIMED_OUT and "Modal's own time limit" in report.reason


async def test_an_image_without_python_says_so(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state") as watch:
        report = await watch.run(launch_request("true", envs={"PATH": "/nonexistent:/bin"[:12]}))
        assert report.state is AttemptState.FAILED and report.exit_code == 127


async def test_a_slow_start_is_cold_start(server: ModalServer, tmp_path: Path) -> None:
    server.faults.boot_s = 0.5
    async with open_pool(server, tmp_path / "state") as watch:
        report = await watch.run(launch_request("true"))
        usage = await watch.executor.usage(0)
        check(usage)
        (unit,) = usage.units
        assert unit.ready_ns is not None and unit.ready_ns - unit.started_ns >= 450_000_000
        assert report.started_ns is not None and report.started_ns >= unit.ready_ns


@pytest.mark.parametrize("make", [pool_of, functions_of])
@pytest.mark.parametrize("wrong", ["missing", "token", "expired", "variable", "permission"])
async def test_credentials_that_do_not_work_are_a_persons_to_mend(
    server: ModalServer, tmp_path: Path, wrong: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    monkeypatch.setattr("modal.config._user_config", {})  # that of whoever runs this
    if wrong == "missing":
        monkeypatch.delenv("MODAL_TOKEN_ID")
        monkeypatch.delenv("MODAL_TOKEN_SECRET")
    if wrong in ("token", "expired"):
        server.faults.bad_token = {"token": "unknown token", "expired": "the token expired on 2026-11-01"}[wrong]
    elif wrong == "variable":
        options = {"token_id_env": "NO_SUCH_VARIABLE"}
    else:
        server.faults.fail("AppGetOrCreate", Status.PERMISSION_DENIED, "may not make apps")
    executor = executor_on(make(server, options=options), tmp_path / "state")
    said = {
        "variable": "NO_SUCH_VARIABLE",
        "missing": "its credentials are missing: set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET",
        "token": "unknown token; Modal does not take its token",
        "expired": "its token has expired",
        "permission": "may not make apps; the token has no permission",
    }[wrong]
    with pytest.raises(Misconfigured, match=said):
        await executor.open()
    await executor.close(stop=False)


@KINDS
async def test_a_broker_killed_before_it_noted_the_sandbox_finds_it(
    server: ModalServer, tmp_path: Path, held: Resources
) -> None:
    pool, folder = pool_of(server, **GPU_POOL), tmp_path / "state"
    watch, request = await left_running(pool, folder, held)
    watch.executor._site.reports.note(request.attempt_id, object_id="", nodes=[])  # type: ignore[attr-defined]
    (folder / "units.jsonl").unlink()
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    await watch.executor.launch(request)
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"on\noff\n"
    assert len(server.sandboxes.all) == 1
    assert len((await watch.executor.usage(0)).units) == 1
    await watch.executor.close(stop=True)


async def test_a_sandbox_that_runs_for_no_attempt_is_ended(server: ModalServer, tmp_path: Path) -> None:
    """Its broker died before it could know of it, and its state is gone; that of another broker is left alone."""
    pool, folder = pool_of(server), tmp_path / "state"
    async with open_pool(server, tmp_path / "other") as other:
        theirs = launch_request("echo on; sleep 3600")
        await other.launch(theirs)
        await other.says(theirs.attempt_id, b"on")
        watch = Watch(executor_on(pool, folder))
        await watch.executor.open()
        request = launch_request("echo on; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.close(stop=False)
        (folder / "journal.jsonl").unlink()
        again = executor_on(pool, folder)
        await again.open()
        assert [one.name for one in server.sandboxes.running()] == [theirs.attempt_id]
        await again.close(stop=True)
