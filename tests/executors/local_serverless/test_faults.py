"""What goes wrong in a container, on the disk or with the host is held, told, and nothing is lost."""

import asyncio
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pytest

from broker.model.errors import Unreachable
from broker.model.jobs import AttemptState
from broker.testing.builders import launch_request
from broker.testing.executor_contract_launch import call_request
from broker.testing.executor_watch import Watch, processes_with
from executors.local_serverless import sandbox
from executors.on_machine.processes import descendants
from tests.executors.cgroups import CGROUPS, needs_cgroups
from tests.executors.local_serverless.driving import TINY, executor_in, folder_of, host_of, open_pool, until
from tests.seen import command_lines, files_with

needs_sandbox = pytest.mark.skipif(sandbox.strongest() == "process", reason="no namespaces on this machine")


async def test_a_job_that_eats_memory_is_told_so() -> None:
    async with open_pool() as watch:
        request = launch_request("exec python3 -c 'x = bytearray(1 << 30)'", resources=TINY)
        report = await watch.run(request)
        assert report.state is AttemptState.FAILED
        if CGROUPS:
            assert (report.exit_code, report.signal) == (137, 9)
            assert "memory" in report.reason
        else:
            assert b"MemoryError" in await watch.output(request.attempt_id, "stderr")
        assert (await watch.run(launch_request("true", resources=TINY))).state is AttemptState.SUCCEEDED


@needs_cgroups
async def test_a_child_that_eats_memory_is_told_of() -> None:
    async with open_pool() as watch:
        report = await watch.run(launch_request("python3 -c 'x = bytearray(1 << 30)'; exit 3", resources=TINY))
        assert (report.state, report.exit_code) == (AttemptState.FAILED, 3)
        assert "memory" in report.reason


FORKS = """
import os, time
for number in range(500):
    try:
        if os.fork() == 0:
            time.sleep(3600)
    except BlockingIOError:
        break
print(number)
"""


@needs_cgroups
async def test_a_fork_bomb_is_held() -> None:
    async with open_pool(options={"pids": 32}) as watch:
        request = launch_request(argv=("python3", "-c", FORKS))
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        assert 10 < int(await watch.output(request.attempt_id)) < 32
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED
        assert len(descendants(host_of(watch))) < 10


async def test_much_output_neither_stalls_nor_stays() -> None:
    most, before = 20_000_000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with open_pool(max_stream_bytes=most) as watch:
        request = launch_request("head -c 400000000 /dev/zero | tr '\\0' x; echo done >&2")
        assert (await watch.run(request)).state is AttemptState.SUCCEEDED
        output = await watch.output(request.attempt_id)
        assert await watch.output(request.attempt_id, "stderr") == b"done\n"
        kept, _, last = output.partition(b"\n")
        assert kept == b"x" * most
        assert last == b"[broker: output beyond 20000000 bytes was dropped]\n"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = Path("/dev/shm") / f"bls-{os.getpid()}"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("this user can't mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


async def test_a_full_disk_is_told_of(small_disk: Path) -> None:
    async with open_pool(small_disk) as watch:
        request = launch_request("head -c 20000000 /dev/zero")
        report = await watch.run(request)
        assert report.state is AttemptState.FAILED
        assert "disk" in report.reason and "full" in report.reason
        with suppress(OSError):
            (small_disk / "more").write_bytes(bytes(8_000_000))
        another = launch_request("set -e; echo x")
        try:
            await watch.executor.launch(another)
        except Unreachable as error:
            assert "No space left" in str(error)
        else:
            report = await watch.ended(another.attempt_id)
            assert "full" in report.reason or "No space left" in report.reason
        await watch.executor.forget([request.attempt_id])
        (small_disk / "more").unlink()
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_a_killed_host_is_started_again_and_nothing_is_lost() -> None:
    async with open_pool() as watch:
        over, lost = launch_request("echo over"), launch_request("echo on; sleep 31536111")
        unknown = launch_request("echo never")
        await watch.run(over)
        await watch.launch(lost)
        await watch.says(lost.attempt_id, b"on")
        await watch.executor.cancel(unknown.attempt_id)
        before = await watch.executor.usage(0)
        os.kill(host_of(watch), signal.SIGKILL)
        with pytest.raises(Unreachable):
            await watch.executor.poll(watch.version, 30.0)
        await until(lambda: not processes_with("31536111"))
        await watch.executor.open()
        watch.version = 0
        report = await watch.ended(lost.attempt_id)
        assert report.state is AttemptState.INTERRUPTED and "host" in report.reason
        assert await watch.output(lost.attempt_id) == b"on\n"
        for request in (over, lost):
            await watch.executor.launch(request)
        assert await watch.output(over.attempt_id) == b"over\n"
        assert (await watch.run(unknown)).state is AttemptState.CANCELLED
        after = await watch.executor.usage(0)
        (line,) = [line for line in after.attempts if line.attempt_id == lost.attempt_id]
        assert line.ended_ns is not None and line.ended_ns >= before.as_of_ns
        assert all(unit.ended_ns is not None for unit in after.units)


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    async with open_pool() as watch:
        folder = folder_of(watch)
        await watch.executor.close(stop=True)
        (folder / "host.sock").touch()
        await watch.executor.open()
        assert oct((folder / "host.sock").stat().st_mode & 0o777) == "0o600"
        assert (await watch.run(launch_request("true"))).state is AttemptState.SUCCEEDED


async def test_two_brokers_share_one_host() -> None:
    async with open_pool() as watch:
        other = Watch(executor_in(folder_of(watch)))
        await other.executor.open()
        request = launch_request("echo once")
        await asyncio.gather(watch.executor.launch(request), other.executor.launch(request))
        assert (await other.ended(request.attempt_id)).state is AttemptState.SUCCEEDED
        assert await other.output(request.attempt_id) == b"once\n"
        await other.executor.close(stop=False)


async def test_secrets_are_written_nowhere() -> None:
    secret = "s3cr3t-94817"
    async with open_pool() as watch:
        request = launch_request("sleep 3600", envs={"TOKEN": secret}, secret_names=frozenset({"TOKEN"}))
        await watch.launch(request)
        await watch.running(request.attempt_id)
        found, argvs = files_with(folder_of(watch), secret), command_lines()
        await watch.end_all()
        assert not found
        assert secret.encode() not in argvs


@needs_sandbox
async def test_a_container_sees_only_its_own() -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as foreign:
        mine = Path(f"{foreign.name}-mine")
        async with open_pool() as watch:
            request = launch_request(
                f"ls /proc | grep -c '^[0-9]'; touch /usr/x; echo $?; ls /tmp; touch {mine} ~/mine"
            )
            assert (await watch.run(request)).state is AttemptState.SUCCEEDED
            processes, touched, *seen = (await watch.output(request.attempt_id)).decode().splitlines()
            assert int(processes) < 12
            if sandbox.strongest() == "bubblewrap":
                assert touched == "1"
                assert folder_of(watch).name in seen
                assert Path(foreign.name).name not in seen
                assert not mine.exists()
            mine.unlink(missing_ok=True)  # a weaker sandbox shares /tmp


async def test_a_job_has_no_way_to_its_agent() -> None:
    async with open_pool() as watch:
        request = launch_request("ls -l /proc/self/fd | grep -c socket")
        await watch.run(request)
        assert await watch.output(request.attempt_id) == b"0\n"


async def test_a_function_finds_what_is_preloaded_and_draws_its_own_numbers() -> None:
    def draw() -> tuple[bool, float, float]:
        import random
        import sys

        loaded = "numpy" in sys.modules
        import numpy

        return loaded, float(numpy.random.random()), random.random()

    async with open_pool(options={"preload": ["numpy", "no_such_module"]}) as watch:
        requests = [call_request(draw) for _ in range(3)]
        drawn = []
        for request in requests:
            assert (await watch.run(request)).state is AttemptState.SUCCEEDED
            kind, value = cloudpickle.loads(await watch.executor.result(request.attempt_id))
            assert (kind, value[0]) == ("value", True)
            drawn.append(value[1:])
        assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == 3


async def test_an_environment_is_built_once_and_shared(tmp_path: Path) -> None:
    package = tmp_path / "mypackage"
    package.mkdir()
    (package / "pyproject.toml").write_text("")
    wheel = _wheel(tmp_path)
    async with open_pool(max_units=2) as watch:
        requests = [
            launch_request(
                "python -c 'import shown; print(shown.WORD)'; cat $BROKER_ENVIRONMENT/built",
                requirements=(str(wheel),),
                setup="echo built >> $BROKER_ENVIRONMENT/built",
                file_mounts={"readme": str(package / "pyproject.toml")},
            )
            for _ in range(2)
        ]
        for request in requests:
            await watch.launch(request)
        for request in requests:
            report = await watch.ended(request.attempt_id)
            assert report.state is AttemptState.SUCCEEDED, await watch.output(request.attempt_id, "stderr")
            assert await watch.output(request.attempt_id) == b"hello\nbuilt\n"


def _wheel(folder: Path) -> Path:
    """A package of one module, in a folder that containers can read."""
    import zipfile

    wheel = folder / "shown-1.0-py3-none-any.whl"
    info = "shown-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("shown.py", "WORD = 'hello'\n")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: shown\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"shown.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


@pytest.mark.parametrize("isolation", ["namespaces", "process"])
async def test_weaker_isolation_still_ends_whole_trees(isolation: str) -> None:
    if isolation == "namespaces" and sandbox.strongest() == "process":
        pytest.skip("no namespaces on this machine")
    async with open_pool(options={"isolation": isolation}) as watch:
        assert isolation in (await watch.executor.capacity()).note
        request = launch_request("trap '' TERM; setsid sleep 31536222 & env -i sleep 31536222 & echo on; wait; wait")
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await watch.executor.cancel(request.attempt_id, 0.2)
        assert (await watch.ended(request.attempt_id)).state is AttemptState.CANCELLED
        await until(lambda: not processes_with("31536222"))
        request = launch_request(
            "echo on; for i in $(seq 8); do (for j in $(seq 200); do sleep 31536333 & done; wait) & done; wait"
        )
        await watch.launch(request)
        await watch.says(request.attempt_id, b"on")
        await until(lambda: bool(processes_with("31536333")))
        os.kill(host_of(watch), signal.SIGKILL)  # while more are being born
        await until(lambda: not processes_with("31536333"))
        await watch.executor.close(stop=False)
        await watch.executor.open()
        watch.version = 0
        assert (await watch.ended(request.attempt_id)).state is AttemptState.INTERRUPTED
