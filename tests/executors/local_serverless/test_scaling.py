"""Containers come when they are wanted, stay while they are of use, and are measured."""

import asyncio
from pathlib import Path

import pytest

from broker.model.errors import Misconfigured, NoCapacity, Rejected
from broker.model.jobs import AttemptState, FunctionCall
from broker.model.resources import GIB, ResourceRequest, Resources
from broker.testing.builders import SMALL, job_spec, launch_request
from broker.testing.executor_watch import processes_with
from tests.daemon.running import Gate
from tests.executors.local_serverless.driving import executor_in, folder_of, open_pool, units_up, until


async def test_it_scales_from_zero_and_back() -> None:
    async with open_pool(scaledown_window_s=0.3) as watch:
        assert (await watch.executor.capacity()).units == ()
        report = await watch.run(launch_request("true"))
        await units_up(watch, 1)
        await units_up(watch, 0)
        (unit,) = (await watch.executor.usage(0)).units
        assert unit.unit_id == report.unit_ids[0]
        assert unit.ended_ns - report.ended_ns >= 300_000_000
        assert unit.caused_by == report.attempt_id
        assert unit.started_ns < unit.ready_ns <= report.started_ns


async def test_a_warm_container_serves_only_its_like() -> None:
    async with open_pool(max_units=4) as watch:
        first, second = [await watch.run(launch_request("true")) for _ in range(2)]
        assert first.unit_ids == second.unit_ids
        larger = await watch.run(launch_request("true", resources=Resources(cpus=1.5, memory_bytes=GIB)))
        prepared = await watch.run(launch_request("true", setup="true"))
        again = await watch.run(launch_request("echo other", setup="true"))
        assert len({first.unit_ids, larger.unit_ids, prepared.unit_ids}) == 3
        assert again.unit_ids == prepared.unit_ids


async def test_an_attempt_leaves_nothing_to_the_next_in_its_container() -> None:
    async with open_pool(max_units=1) as watch:
        first = await watch.run(launch_request("touch left /tmp/left; echo $$ > ~/left"))
        request = launch_request("ls -A; cat left; test ! -e ../*/left")
        second = await watch.run(request)
        assert first.unit_ids == second.unit_ids
        assert await watch.output(request.attempt_id) == b""


async def test_what_there_is_is_known_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Placements are decided by it again and again: the host says it whenever it changes, and before it answers."""

    async def asked(*_: object) -> None:
        raise AssertionError("the host was asked")

    async with open_pool(max_units=1, scaledown_window_s=60.0) as watch:
        await watch.run(launch_request("true"))
        await watch.executor.launch(request := launch_request("sleep 60"))
        with monkeypatch.context() as patch:
            patch.setattr(watch.executor._link, "call", asked)  # type: ignore[attr-defined]
            (unit,) = (await watch.executor.capacity()).units
            assert unit.ready and unit.free.cpus == 0
        await watch.executor.cancel(request.attempt_id, 0.0)
        await watch.ended(request.attempt_id)
        (unit,) = (await watch.executor.capacity()).units
        assert unit.free == unit.total


async def test_an_idle_container_makes_room_for_another_kind() -> None:
    async with open_pool(max_units=1, scaledown_window_s=60.0) as watch:
        first = await watch.run(launch_request("true"))
        second = await watch.run(launch_request("true", resources=Resources(cpus=1, memory_bytes=GIB)))
        assert first.unit_ids != second.unit_ids
        usage = await watch.executor.usage(0)
        old = next(unit for unit in usage.units if unit.unit_id == first.unit_ids[0])
        new = next(unit for unit in usage.units if unit.unit_id == second.unit_ids[0])
        assert old.ended_ns is not None and old.ended_ns <= new.started_ns


async def test_min_containers_are_kept_warm() -> None:
    async with open_pool(scaledown_window_s=0.1, options={"min_containers": 1}) as watch:
        await units_up(watch, 1)
        report = await watch.run(launch_request("true"))
        await asyncio.sleep(0.4)
        await units_up(watch, 1)
        assert report.state is AttemptState.SUCCEEDED


async def test_a_buffer_waits_beside_what_runs() -> None:
    async with open_pool(max_units=3, scaledown_window_s=0.1, options={"buffer_containers": 1}) as watch:
        first = launch_request("sleep 3600")
        await watch.launch(first)
        await units_up(watch, 2)
        second = await watch.run(launch_request("true"))
        usage = await watch.executor.usage(0)
        assert next(unit for unit in usage.units if unit.unit_id == second.unit_ids[0]).caused_by is None
        await watch.executor.cancel(first.attempt_id, 0.0)
        await units_up(watch, 0)


async def test_attempts_share_a_container_where_that_is_allowed() -> None:
    async with open_pool(max_units=1, options={"concurrency": 2}) as watch:
        await watch.run(launch_request("true"))
        gate = Gate()
        pair = [launch_request(f"{gate.wait}; echo {number}; exit {number}") for number in (3, 4)]
        for request in pair:
            await watch.launch(request)
        with pytest.raises(NoCapacity):
            await watch.executor.launch(launch_request("true"))
        for request in pair:
            await watch.running(request.attempt_id)
        gate.open(len(pair))
        reports = [await watch.ended(request.attempt_id) for request in pair]
        assert [report.exit_code for report in reports] == [3, 4]
        assert reports[0].unit_ids == reports[1].unit_ids
        usage = await watch.executor.usage(0)
        assert {line.resources.cpus for line in usage.attempts} == {SMALL.cpus / 2}


async def test_the_end_of_one_of_two_ends_what_it_left_and_spares_the_other() -> None:
    async with open_pool(max_units=1, options={"concurrency": 2}) as watch:
        await watch.run(launch_request("true"))
        stays = launch_request("(setsid sleep 31536444 &); sleep 3600")
        gate = Gate()
        leaves = launch_request(f"(setsid sleep 31536555 &); {gate.wait}")
        for request in (stays, leaves):
            await watch.launch(request)
        await until(lambda: bool(processes_with("31536444") and processes_with("31536555")))
        gate.open()
        await watch.ended(leaves.attempt_id)
        await until(lambda: not processes_with("31536555"))
        assert processes_with("31536444")
        await watch.executor.cancel(stays.attempt_id, 0.2)
        await watch.ended(stays.attempt_id)
        await until(lambda: not processes_with("31536444"))


async def test_containers_that_keep_failing_are_not_started_for_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho no namespaces today >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with open_pool(options={"isolation": "bubblewrap", "prepared": 0}) as watch:
        ends = []
        with pytest.raises(NoCapacity, match="keep failing"):
            while True:  # on a busy machine a first, short pause may be over before it is seen; they grow
                await watch.executor.launch(request := launch_request("true"))
                report = await watch.ended(request.attempt_id)
                assert report.state is AttemptState.REFUSED and report.started_ns is None
                assert "no namespaces today" in report.reason
                ends.append(report.ended_ns)
        assert len(ends) >= 3
        assert (await watch.executor.capacity()).backoff_until_ns > ends[-1]


async def test_new_settings_reach_a_host_that_runs() -> None:
    async with open_pool(max_units=1) as watch:
        folder = folder_of(watch)
        await watch.executor.close(stop=False)
        watch.executor = executor_in(folder, max_units=2, scaledown_window_s=0.1)
        await watch.executor.open()
        for _ in range(2):
            await watch.executor.launch(launch_request("sleep 0.2"))
        await units_up(watch, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_container": 1}, "min_container.*there are: min_containers"),
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"pids": "many"}, "pids must be int"),
        ({"prepared": True}, "prepared must be int"),
        ({"preload": "numpy"}, "preload must be a list"),
        ({"isolation": "docker"}, "isolation must be one of auto, bubblewrap"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        executor_in(tmp_path, options=options)


async def test_what_can_never_run_here_is_rejected() -> None:
    async with open_pool(gpu_models=("L4",)) as watch:
        impossible = [
            launch_request("true", resources=Resources(cpus=999)),
            launch_request("true", runtime="ray"),
            launch_request("true", resources=Resources(gpus=1, gpu_model="H100")),
            launch_request(function=FunctionCall(blob="0", name="f", python="2.7"), function_payload=b""),
        ]
        for request in impossible:
            with pytest.raises(Rejected):
                await watch.executor.launch(request)
        assert (await watch.executor.poll(0)).reports == ()


async def test_emulated_gpus_are_counted() -> None:
    one = Resources(cpus=0.5, memory_bytes=GIB // 4, gpus=1, gpu_model="H100")
    unit = Resources(cpus=2, memory_bytes=GIB, gpus=1, gpu_model="H100")
    async with open_pool(unit=unit, max_units=2, gpu_models=("H100",), emulated=True) as watch:
        request = launch_request("echo [$CUDA_VISIBLE_DEVICES] $BROKER_EMULATED_GPUS; sleep 3600", resources=one)
        await watch.launch(request)
        assert (await watch.says(request.attempt_id, b"\n")).startswith(b"[] 1")
        await watch.executor.launch(launch_request("sleep 3600", resources=one))
        with pytest.raises(NoCapacity):
            await watch.executor.launch(launch_request("true", resources=one))
        await watch.end_all()


async def test_gang_jobs_are_rejected() -> None:
    async with open_pool() as watch:
        with pytest.raises(Rejected, match="one node"):
            spec = job_spec(resources=ResourceRequest(num_nodes=2))
            await watch.executor.launch(launch_request(spec=spec))
