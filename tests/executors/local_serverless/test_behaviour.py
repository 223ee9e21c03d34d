"""What a pool on this machine does beyond the contract: reuse, scale-down, limits, output, secrets, pauses."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from broker.model.jobs import AttemptState
from broker.model.pools import Pool
from broker.model.resources import Resources
from broker.ports import ExecutorContext
from broker.testing import builders
from broker.testing.builders import launch_request
from broker.testing.executor_contract_pool import check
from broker.testing.executor_watch import PATIENCE_S, SystemClock, Watch, processes_with
from executors.local_serverless import LocalServerless
from tests.executors.cgroups import needs_cgroups
from tests.executors.local_serverless.driving import open_pool, units_up
from tests.seen import command_lines, files_with

MIB = 1 << 20
PIDS = 64
FORK_UNTIL_REFUSED = """
import os, time
for count in range(500):
    try:
        child = os.fork()
    except OSError:
        print(count)
        break
    if child == 0:
        time.sleep(30)
        os._exit(0)
"""


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Short, because the path of a socket in it must not be long. A host that a failed test left is ended."""
    folder = Path(tempfile.mkdtemp(prefix="bls-"))
    yield folder
    for pid in processes_with(str(folder)):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.fixture
def pool() -> Pool:
    options = {"pids": PIDS}
    return builders.pool("serverless", executor="local_serverless", options=options)


@pytest.fixture
def make_executor(pool: Pool, state_dir: Path) -> Callable[[], LocalServerless]:
    context = ExecutorContext(pool=pool, state_dir=state_dir, clock=SystemClock(), max_stream_bytes=200_000)
    return lambda: LocalServerless(context)


@pytest.fixture
async def watch(make_executor: Callable[[], LocalServerless]) -> AsyncIterator[Watch]:
    watch = Watch(make_executor())
    await watch.executor.open()
    yield watch
    await watch.executor.close(stop=True)


async def test_the_same_environment_is_served_by_the_same_container(watch: Watch) -> None:
    reports = [await watch.run(launch_request("true")) for _ in range(3)]
    assert len({report.unit_ids for report in reports}) == 1


async def test_another_environment_gets_another_container(watch: Watch) -> None:
    plain = await watch.run(launch_request("true"))
    prepared = await watch.run(launch_request("true", setup="true"))
    assert plain.unit_ids != prepared.unit_ids


async def test_an_idle_container_ends_after_the_window_and_is_metered_to_its_end() -> None:
    async with open_pool(scaledown_window_s=0.5) as watch:
        report = await watch.run(launch_request("true"))
        await units_up(watch, 0)
        usage = await watch.executor.usage(0)
        check(usage)
        (unit,) = [unit for unit in usage.units if unit.unit_id in report.unit_ids]
        assert unit.ended_ns is not None and report.ended_ns is not None
        assert unit.ended_ns - report.ended_ns >= 400_000_000
        assert unit.caused_by == report.attempt_id


async def test_a_container_has_a_tmp_of_its_own(watch: Watch) -> None:
    name = f"broker-{os.getpid()}-tmp"
    assert (await watch.run(launch_request(f"touch /tmp/{name}"))).state is AttemptState.SUCCEEDED
    if "bubblewrap" in (await watch.executor.capacity()).note:
        assert not Path("/tmp", name).exists()


async def test_a_command_begins_as_at_a_shell(watch: Watch) -> None:
    request = launch_request("yes | head -1; ls /proc/self/fd")
    assert (await watch.run(request)).state is AttemptState.SUCCEEDED
    assert await watch.output(request.attempt_id) == b"y\n0\n1\n2\n3\n"  # the fourth is `ls`'s own
    assert await watch.output(request.attempt_id, "stderr") == b"", "a broken pipe ends a program without a word"


@needs_cgroups
async def test_too_much_memory_ends_the_attempt_with_the_reason(watch: Watch) -> None:
    held = Resources(cpus=1.0, memory_bytes=64 * MIB)
    report = await watch.run(launch_request(argv=("python3", "-c", "x = bytearray(1 << 29)"), resources=held))
    assert report.state is AttemptState.FAILED
    assert "memory" in report.reason
    assert (await watch.run(launch_request("true", resources=held))).state is AttemptState.SUCCEEDED


@needs_cgroups
async def test_a_fork_bomb_is_held_in_its_container(watch: Watch) -> None:
    request = launch_request(argv=("python3", "-c", FORK_UNTIL_REFUSED))
    assert (await watch.run(request)).state is AttemptState.SUCCEEDED
    assert 10 < int(await watch.output(request.attempt_id)) < PIDS
    assert (await watch.run(launch_request("echo fine"))).state is AttemptState.SUCCEEDED


async def test_output_beyond_the_limit_is_dropped_and_said(watch: Watch) -> None:
    request = launch_request("head -c 5000000 /dev/zero; echo kept >&2")
    assert (await watch.run(request)).state is AttemptState.SUCCEEDED
    output = await watch.output(request.attempt_id)
    assert len(output) < 210_000
    assert b"200000 bytes" in output.splitlines()[-1]
    assert await watch.output(request.attempt_id, "stderr") == b"kept\n"


async def test_a_secret_is_in_no_argument_and_no_file(watch: Watch, state_dir: Path) -> None:
    secret = "s3cr3t-58213"
    script = 'touch here; until [ -e go ]; do sleep 0.02; done; [ "$TOKEN" = s3cr3t-"58213" ]'
    request = launch_request(script, envs={"TOKEN": secret}, secret_names=frozenset({"TOKEN"}))
    await watch.launch(request)
    await watch.running(request.attempt_id)
    async with asyncio.timeout(PATIENCE_S):
        while not (here := [root for root, _, names in os.walk(state_dir) if "here" in names]):
            await asyncio.sleep(0.02)
    assert secret.encode() not in command_lines()
    assert not files_with(state_dir, secret)
    Path(here[0], "go").touch()
    assert (await watch.ended(request.attempt_id)).state is AttemptState.SUCCEEDED


async def test_usage_is_known_after_the_pool_was_stopped(watch: Watch) -> None:
    report = await watch.run(launch_request("true"))
    await watch.executor.close(stop=True)
    usage = await watch.executor.usage(0)
    check(usage)
    assert {line.attempt_id for line in usage.attempts} == {report.attempt_id}
    assert all(unit.ended_ns is not None for unit in usage.units)
