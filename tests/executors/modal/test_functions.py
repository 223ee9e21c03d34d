"""Attempts as calls of functions: what reaches Modal, what stays warm, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grpclib import Status

from broker.model.errors import Misconfigured
from broker.model.jobs import AttemptState
from broker.model.pools import KeepWarm
from broker.model.resources import GIB, Gpu, ResourceRequest, Resources
from broker.testing.builders import launch_request, offer
from broker.testing.executor_contract_pool import check, lines_of
from broker.testing.executor_watch import PATIENCE_S, Watch
from tests.executors.modal.driving import UNIT_GPU, executor_on, functions_of, open_pool
from tests.executors.modal.server.service import ModalServer

GPU_POOL = {"functions": True, "unit": UNIT_GPU, "gpu_models": ("H100", "L4"), "max_units": 4}
GPU = Resources(cpus=0.5, memory_bytes=GIB // 4, gpus=2.0, gpu_model="H100")


def claims(server: ModalServer) -> int:
    return sum(map(len, server.keyed.dicts.values()))


async def test_a_call_has_what_was_asked_for_and_secrets_are_in_its_environment_only(
    server: ModalServer, tmp_path: Path
) -> None:
    server.secrets.made("hub", HUB_TOKEN="x" * 5)
    server.volumes.made("datasets")
    options = {"region": "us-east", "cloud": "aws", "secrets": ["hub"], "volumes": {"/data": "datasets"}}
    secret = "s3cr3t-8812"
    request = launch_request(
        "echo ${#TOKEN} ${#HUB_TOKEN} $PLAIN",
        resources=GPU,
        envs={"TOKEN": secret, "PLAIN": "seen"},
        secret_names=frozenset({"TOKEN"}),
        requirements=("cloudpickle",),
    )
    async with open_pool(server, tmp_path / "state", options=options, **GPU_POOL) as watch:
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"11 5 seen\n"
    (bound,) = server.world.seen("FunctionBindParams")
    asked = bound.function_options
    assert (asked.resources.gpu_config.gpu_type, asked.resources.gpu_config.count) == ("H100", 2)
    assert (asked.resources.milli_cpu, asked.resources.milli_cpu_max) == (250, 250)
    assert (list(asked.scheduler_placement.regions), asked.cloud_provider_str) == (["us-east"], "aws")
    assert [volume.mount_path for volume in asked.volume_mounts] == ["/data"]
    (created,) = server.world.seen("FunctionCreate")
    assert "pip install cloudpickle" in "\n".join(server.images.commands[created.function.image_id])
    (app,) = server.world.seen("AppCreate")
    assert app.tags["broker_pool"] == "burst" and app.tags["broker_owner"]
    told = [call for call, message in server.world.calls if secret in str(message)]
    assert set(told) == {"SecretGetOrCreate"}
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not [path for path in kept if secret.encode() in path.read_bytes()]


async def test_one_container_serves_one_after_the_other_and_is_deployed_once(
    server: ModalServer, tmp_path: Path
) -> None:
    pool, folder = functions_of(server, max_units=1), tmp_path / "state"
    for _ in range(2):  # a broker that is started again finds the function, and its warm container
        watch = Watch(executor_on(pool, folder))
        await watch.executor.open()
        for _ in range(2):
            assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
        usage = await watch.executor.usage(0)
        check(usage)
        await watch.executor.close(stop=False)
    assert len(server.world.seen("FunctionCreate")) == 1
    (unit,) = usage.units
    assert (unit.ended_ns, len(usage.attempts)) == (None, 4)


async def test_an_idle_container_is_paid_until_its_window_has_passed(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state", functions=True, scaledown_window_s=2.0) as watch:
        report = await watch.run(launch_request("true"))
        async with asyncio.timeout(PATIENCE_S):
            while (await watch.executor.usage(0)).units[0].ended_ns is None:
                await asyncio.sleep(0.05)
        (unit,) = (await watch.executor.usage(0)).units
        assert unit.ended_ns is not None and report.ended_ns is not None
        assert 1.9e9 < unit.ended_ns - report.ended_ns < 40e9, "neither at once nor after the usual window"


async def test_containers_that_wait_are_measured_and_the_next_attempt_is_in_one(
    server: ModalServer, tmp_path: Path
) -> None:
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        first = launch_request("true")
        await watch.run(first)
        assert hasattr(watch.executor, "keep_warm")
        await watch.executor.keep_warm(KeepWarm(scaledown_window_s=60.0, min_containers=2))
        async with asyncio.timeout(PATIENCE_S):
            while len((await watch.executor.usage(0)).units) < 2:
                await asyncio.sleep(0.05)
        both = [launch_request("sleep 0.5") for _ in range(2)]
        for request in both:
            await watch.launch(request)
        for request in both:
            await watch.ended(request.attempt_id)
        usage = await watch.executor.usage(0)
        check(usage)
        assert len(usage.units) == 2, "one of them was counted twice"
        assert {lines_of(usage, one.attempt_id)[0].unit_id for one in both} == {one.unit_id for one in usage.units}


async def test_containers_are_up_as_configured_before_anything_ran(server: ModalServer, tmp_path: Path) -> None:
    options = {"min_containers": 2}
    async with open_pool(server, tmp_path / "state", functions=True, options=options) as watch:
        async with asyncio.timeout(PATIENCE_S):
            while sum(unit.ready for unit in (await watch.executor.capacity()).units) < 2:
                await asyncio.sleep(0.05)
    assert not server.functions.calls


async def test_what_stays_warm_is_like_what_ran_last(server: ModalServer, tmp_path: Path) -> None:
    """Two kinds of containers: those of the first are let go of once the second is used, and each is told only then."""
    async with open_pool(server, tmp_path / "state", options={"min_containers": 1}, **GPU_POOL) as watch:
        for model in ("H100", "L4", "L4"):
            await watch.run(launch_request("true", resources=replace(GPU, gpus=1.0, gpu_model=model)))
    *_, first, second = server.functions.all.values()
    told = server.world.seen("FunctionUpdateSchedulingParams")[:-3]  # without those of the end
    named = [(one.function_id, one.settings.min_containers) for one in told if one.function_id in (first.id, second.id)]
    assert dict(named) == {first.id: 0, second.id: 1}
    assert [one for one, _ in named].count(second.id) == 1, "told again for each call"


async def test_without_capacity_the_next_gpu_is_tried_and_then_another_pool(
    server: ModalServer, tmp_path: Path
) -> None:
    server.faults.no_capacity = {"H100"}
    asked = ResourceRequest(gpu_choices=(Gpu(model="H100", count=2), Gpu(model="L4")), gpu_ordered=True)
    request = launch_request("true", resources=GPU)
    request = replace(request, spec=replace(request.spec, resources=asked))
    async with open_pool(server, tmp_path / "state", options={"capacity_wait_s": 2.0}, **GPU_POOL) as watch:
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        (unit,) = (await watch.executor.usage(0)).units
        assert unit.resources.gpu_model == "L4"
        refused = await watch.run(launch_request("true", resources=GPU))
        assert refused.state is AttemptState.REFUSED and "no 2 H100 within 2 s" in refused.reason
        server.faults.no_capacity = set()
        assert (await watch.run(launch_request("true", resources=GPU))).state is AttemptState.SUCCEEDED
    ran = {call.task_id for call in server.functions.calls.values() if call.task_id}
    assert len(ran) == 2, "what was refused ran all the same"


@pytest.mark.parametrize("lost", ["answer", "answer and broker"])
async def test_a_call_whose_answer_was_lost_runs_once(server: ModalServer, tmp_path: Path, lost: str) -> None:
    """Modal had taken it; it is found by what claimed it, and what was called again runs nothing."""
    pool, folder = functions_of(server), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    server.faults.fail_after("FunctionMap", Status.UNAVAILABLE, times=5 if lost == "answer" else 1_000)
    request = launch_request(f"echo once >> {tmp_path}/ran; echo once; sleep 1")
    await watch.launch(request)
    if lost != "answer":
        while not (tmp_path / "ran").exists():
            await asyncio.sleep(0.02)
        await watch.executor.close(stop=False)
        server.faults.after.clear()
        watch.executor, watch.version = executor_on(pool, folder), 0
        await watch.executor.open()
        await watch.executor.launch(request)
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"once\n"
    assert (tmp_path / "ran").read_text() == "once\n"
    assert len(server.functions.calls) >= 2 or lost != "answer", "it was never called again"
    await watch.executor.close(stop=True)


async def test_a_broker_killed_before_its_call_was_made_makes_none(server: ModalServer, tmp_path: Path) -> None:
    pool, folder = functions_of(server), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    server.faults.fail("FunctionMap", Status.UNAVAILABLE)
    request = launch_request("echo never")
    await watch.launch(request)
    while not server.world.seen("FunctionMap"):
        await asyncio.sleep(0.02)
    await watch.executor.close(stop=False)
    server.faults.failing.clear()
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    assert (await watch.ended(request.attempt_id)).state is AttemptState.INTERRUPTED
    assert not server.functions.calls and claims(server) == 1, "it is claimed, so that no call runs it ever"
    await watch.executor.close(stop=True)


async def test_a_wait_for_capacity_is_bounded_by_the_next_broker_too(server: ModalServer, tmp_path: Path) -> None:
    server.faults.no_capacity = {""}
    pool, folder = functions_of(server, options={"capacity_wait_s": 2.0}), tmp_path / "state"
    patient = functions_of(server, options={"capacity_wait_s": 60})
    watch = Watch(executor_on(patient, folder))
    await watch.executor.open()
    request = launch_request("echo never")
    await watch.launch(request)
    while not server.functions.calls:
        await asyncio.sleep(0.02)
    await watch.executor.close(stop=False)
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    report = await watch.ended(request.attempt_id)
    assert report.state is AttemptState.REFUSED and "no room within 2 s" in report.reason
    server.faults.no_capacity = set()
    assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
    assert claims(server) == 2, "what was refused is claimed, so that it never runs"
    await watch.executor.close(stop=True)


async def test_what_may_have_been_called_is_claimed_before_it_is_refused(server: ModalServer, tmp_path: Path) -> None:
    """The first answer is lost, and the next call refused: the first may run, and does."""
    server.faults.fail_after("FunctionMap", Status.UNAVAILABLE, times=4)
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        request = launch_request(f"echo once >> {tmp_path}/ran; sleep 1")
        await watch.launch(request)
        while not (tmp_path / "ran").exists():
            await asyncio.sleep(0.01)
        server.faults.fail("FunctionMap", Status.RESOURCE_EXHAUSTED, "the limit is reached")
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.SUCCEEDED, report
        assert (tmp_path / "ran").read_text() == "once\n"


async def test_building_an_image_is_no_wait_for_capacity(server: ModalServer, tmp_path: Path) -> None:
    server.images.build_s = 2.5
    async with open_pool(server, tmp_path / "state", functions=True, options={"capacity_wait_s": 2.0}) as watch:
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_a_log_that_breaks_loses_and_repeats_nothing(server: ModalServer, tmp_path: Path) -> None:
    server.faults.drop("AppGetLogs", times=4)
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        request = launch_request("for i in 1 2 3 4 5; do echo $i; echo e$i >&2; sleep 0.05; done")
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"1\n2\n3\n4\n5\n"
        assert await watch.output(request.attempt_id, "stderr") == b"e1\ne2\ne3\ne4\ne5\n"


async def test_a_log_that_is_followed_from_now_on_is_read_whole_at_the_end(server: ModalServer, tmp_path: Path) -> None:
    """As a broker that was started again may find it: Modal promises no more."""
    pool, folder = functions_of(server), tmp_path / "state"
    watch = Watch(executor_on(pool, folder))
    await watch.executor.open()
    request = launch_request("echo on; sleep 1; echo off")
    await watch.launch(request)
    await watch.says(request.attempt_id, b"on")
    await watch.executor.close(stop=False)
    server.faults.logs_from_now = True
    watch.executor, watch.version = executor_on(pool, folder), 0
    await watch.executor.open()
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"on\noff\n"
    await watch.executor.close(stop=True)


async def test_a_slow_start_is_cold_start(server: ModalServer, tmp_path: Path) -> None:
    server.faults.slow_import_s = 0.5
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        report = await watch.run(launch_request("true"))
        usage = await watch.executor.usage(0)
        check(usage)
        (unit,) = usage.units
        assert unit.ready_ns is not None and unit.ready_ns - unit.started_ns >= 450_000_000
        assert unit.caused_by == report.attempt_id
        assert lines_of(usage, report.attempt_id)[0].started_ns >= unit.ready_ns


async def test_a_service_that_is_away_for_a_while_is_waited_for(server: ModalServer, tmp_path: Path) -> None:
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        request = launch_request("echo on; sleep 2; echo off")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        server.faults.drop("AppGetLogs")
        for call in ("AppGetLogs", "FunctionCallGetInfo", "FunctionGetCallGraph", "FunctionGetCurrentStats"):
            server.faults.fail(call, Status.INTERNAL, times=6)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await watch.output(request.attempt_id) == b"on\noff\n"


@pytest.mark.parametrize("status", [Status.PERMISSION_DENIED, Status.UNAUTHENTICATED, Status.RESOURCE_EXHAUSTED])
async def test_limits_and_permissions_send_it_elsewhere(server: ModalServer, tmp_path: Path, status: Status) -> None:
    server.faults.fail("FunctionCreate", status, "the workspace says no")
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "the workspace says no" in report.reason


async def test_throttled_calls_are_made_again_more_slowly(server: ModalServer, tmp_path: Path) -> None:
    server.faults.fail("FunctionMap", Status.RESOURCE_EXHAUSTED, "rate limit exceeded", times=2)
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
    assert len(server.functions.calls) == 1


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("FunctionMap", Status.RESOURCE_EXHAUSTED),
        ("FunctionMap", Status.PERMISSION_DENIED),
        ("FunctionUpdateSchedulingParams", Status.UNAUTHENTICATED),
    ],
)
async def test_a_call_that_is_refused_holds_up_no_settlement(
    server: ModalServer, tmp_path: Path, call: str, status: Status
) -> None:
    """While it is not known in which container an attempt is, usage is complete up to its launch only."""
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        server.faults.fail(call, status, "no more of these")
        report = await watch.run(launch_request("true"))
        assert report.state is AttemptState.REFUSED and "no more of these" in report.reason
        server.faults.failing.clear()
        assert (await watch.executor.usage(0)).as_of_ns >= (report.ended_ns or 0)
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_a_hung_agent_is_ended_with_its_container(
    server: ModalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executors.modal_pool.in_container.TERMINATE_AFTER_S", 0.3)
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        go = tmp_path / "go"
        until = f"until [ -e {go} ]; do sleep 0.02; done"
        request = launch_request(f"echo on; {until}; kill -STOP $PPID; touch {go}.stopped; sleep 3600")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        go.touch()
        while not Path(f"{go}.stopped").exists():
            await asyncio.sleep(0.02)
        await watch.executor.cancel(request.attempt_id, grace_s=0.2)
        report = await watch.ended(request.attempt_id)
        assert report.state is AttemptState.CANCELLED and "Modal ended it" in report.reason


@pytest.mark.parametrize("ahead_s", [-7200.0, 7200.0])
async def test_the_clock_of_modal_may_be_another(server: ModalServer, tmp_path: Path, ahead_s: float) -> None:
    server.faults.clock_s = ahead_s
    async with open_pool(server, tmp_path / "state", functions=True) as watch:
        begun_ns = time.time_ns()
        report = await watch.run(launch_request("true"))
        usage = await watch.executor.usage(0)
        (unit,) = usage.units
        times = [unit.started_ns, unit.ready_ns, report.started_ns, report.ended_ns, usage.as_of_ns, time.time_ns()]
        assert begun_ns - 10**8 <= times[0] and None not in times and times == sorted(times, key=lambda at: at or 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"options": {"min_containers": "two"}}, "min_containers must be int"),
        ({"offers": (offer("modal/sandbox/cpu/auto/serverless"),)}, 'product = "functions"'),
    ],
)
async def test_wrong_options_are_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        executor_on(functions_of(ModalServer(tmp_path / "modal"), **fields), tmp_path / "state")
