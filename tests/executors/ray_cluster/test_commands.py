"""What a command sees, how its end is reported, and that nothing of it is left."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest
import pytest_asyncio

from broker.model.errors import NoCapacity, Rejected, Unreachable
from broker.model.jobs import AttemptState
from broker.model.resources import GIB, Resources
from broker.testing.executor_watch import PATIENCE_S
from tests.executors.ray_cluster.driving import HERE, MAX_STREAM_BYTES, NODE, SMALL, Driver, call, gone, request
from tests.seen import command_lines, files_with

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _cleared(pool: Driver) -> AsyncIterator[None]:
    yield
    await pool.clear()


async def test_streams_are_kept_apart_and_byte_by_byte(pool: Driver) -> None:
    what = request(r"printf 'a\377\000b'; printf err >&2")
    report = await pool.run(what)
    assert (report.state, report.exit_code, report.signal) == (AttemptState.SUCCEEDED, 0, None)
    assert await pool.output(what.attempt_id) == b"a\xff\x00b"
    assert await pool.output(what.attempt_id, "stderr") == b"err"


@pytest.mark.parametrize("code", [1, 3, 127, 255])
async def test_exit_codes_are_true(pool: Driver, code: int) -> None:
    report = await pool.run(request(f"exit {code}"))
    assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, code, None)


@pytest.mark.parametrize("signum", [9, 15, 11])
async def test_signals_are_true(pool: Driver, signum: int) -> None:
    report = await pool.run(request(f"kill -{signum} $$"))
    assert (report.state, report.exit_code, report.signal) == (AttemptState.FAILED, 128 + signum, signum)


async def test_a_command_that_does_not_exist_is_named(pool: Driver) -> None:
    report = await pool.run(request(argv=("no-such-program", "x")))
    assert (report.state, report.exit_code) == (AttemptState.FAILED, 127)
    assert "no-such-program" in report.reason


async def test_words_are_given_as_they_are(pool: Driver) -> None:
    what = request(argv=("printf", "%s|", "a b", "$HOME", "*"))
    await pool.run(what)
    assert await pool.output(what.attempt_id) == b"a b|$HOME|*|"


async def test_the_environment_is_what_the_job_names_and_little_more(pool: Driver) -> None:
    what = request("env -0", envs={"LR": "0.1", "TEXT": "two\nlines"})
    await pool.run(what)
    seen = dict(line.split("=", 1) for line in (await pool.output(what.attempt_id)).decode().split("\0") if line)
    assert (seen.pop("LR"), seen.pop("TEXT")) == ("0.1", "two\nlines")
    foreign = {name for name in seen if name.startswith(("RAY_", "PYTEST", "SSH", "AWS"))}
    assert not foreign
    assert len(seen) <= 12, sorted(seen)


async def test_a_command_works_in_a_private_copy(pool: Driver, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "in.txt").write_text("x")
    (tmp_path / "data.txt").write_text("mounted")
    what = request(
        "cat in.txt mnt/data.txt; echo changed > in.txt",
        workdir=str(tmp_path / "code"),
        file_mounts={"mnt/data.txt": str(tmp_path / "data.txt")},
    )
    assert (await pool.run(what)).state is AttemptState.SUCCEEDED
    assert await pool.output(what.attempt_id) == b"xmounted"
    assert (tmp_path / "code" / "in.txt").read_text() == "x"


async def test_a_workdir_that_is_gone_is_the_attempt_s_failure(pool: Driver, tmp_path: Path) -> None:
    report = await pool.run(request("true", workdir=str(tmp_path / "gone")))
    assert report.state is AttemptState.FAILED
    assert "gone" in report.reason


async def test_a_job_gets_the_gpus_it_holds(pool: Driver) -> None:
    held = Resources(cpus=0.2, gpus=1, gpu_model="L4")
    what = request("echo ${CUDA_VISIBLE_DEVICES-unset} $BROKER_EMULATED_GPUS", held=held)
    await pool.run(what)
    assert b"L4" in await pool.output(what.attempt_id)


async def test_time_is_limited(pool: Driver) -> None:
    report = await pool.run(request("trap '' TERM; sleep 60 & echo on; wait; sleep 60", max_duration_s=0.5))
    assert report.state is AttemptState.TIMED_OUT
    assert "0.5 s" in report.reason


async def test_memory_is_limited(pool: Driver) -> None:
    held = Resources(cpus=0.2, memory_bytes=GIB // 16)
    report = await pool.run(request("exec python3 -c 'x = bytearray(1 << 30)'", held=held))
    assert report.state is AttemptState.FAILED
    assert report.exit_code == 137
    assert "memory" in report.reason


async def test_children_do_not_outlive_their_job(pool: Driver) -> None:
    what = request("setsid sleep 300 & echo $!; (nohup sleep 300 >/dev/null 2>&1 & echo $!) ; exit 4")
    report = await pool.run(what)
    assert report.exit_code == 4
    for pid in (await pool.output(what.attempt_id)).split():
        await gone(int(pid))


_WONT_DIE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        print(os.getpid(), flush=True)
print("on", flush=True)
time.sleep(300)
"""


async def test_cancel_ends_a_tree_that_won_t_die(pool: Driver, tmp_path: Path) -> None:
    (tmp_path / "stay.py").write_text(_WONT_DIE)
    what = request("python3 stay.py & wait", workdir=str(tmp_path))
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    async with asyncio.timeout(PATIENCE_S):
        while (said := await pool.says(what.attempt_id, b"on")).count(b"\n") < 4:
            await asyncio.sleep(0.05)
    pids = [int(word) for word in said.split() if word.isdigit()]
    await pool.executor.cancel(what.attempt_id, grace_s=0.5)
    report = await pool.ended(what.attempt_id)
    assert report.state is AttemptState.CANCELLED
    for pid in pids:
        await gone(pid)


async def test_a_cancelled_command_may_tidy_up(pool: Driver) -> None:
    what = request("trap 'echo tidied; exit 7' TERM; echo on; while :; do sleep 0.05; done")
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    await pool.says(what.attempt_id, b"on")
    await pool.executor.cancel(what.attempt_id, grace_s=2 * PATIENCE_S)
    report = await pool.ended(what.attempt_id)
    assert report.state is AttemptState.CANCELLED
    assert b"tidied" in await pool.output(what.attempt_id)


async def test_cancel_before_and_after(pool: Driver) -> None:
    early, done = request("echo ran"), request("true")
    await pool.executor.cancel(early.attempt_id)
    assert (await pool.run(early)).state is AttemptState.CANCELLED
    assert (await pool.run(done)).state is AttemptState.SUCCEEDED
    await pool.executor.cancel(done.attempt_id)
    await pool.executor.cancel(done.attempt_id)
    later = request("true")
    await pool.run(later)
    assert pool.reports[done.attempt_id].state is AttemptState.SUCCEEDED


async def test_cancel_right_after_launch(pool: Driver) -> None:
    """Whenever in its start it comes, nothing is left running."""
    for _ in range(5):
        what = request("echo $$; exec sleep 300")
        await pool.executor.launch(what)
        await pool.executor.cancel(what.attempt_id, grace_s=0.5)
        assert (await pool.ended(what.attempt_id)).state is AttemptState.CANCELLED
        for pid in (await pool.output(what.attempt_id)).split():
            await gone(int(pid))


async def test_a_launch_repeated_starts_nothing(pool: Driver, tmp_path: Path) -> None:
    what = request(f"echo once >> {tmp_path}/runs")
    await asyncio.gather(*(pool.executor.launch(what) for _ in range(5)))
    await pool.ended(what.attempt_id)
    await pool.executor.launch(what)
    await pool.run(request("true"))
    assert (tmp_path / "runs").read_text() == "once\n"
    assert pool.states[what.attempt_id][-1] is AttemptState.SUCCEEDED


async def test_room_is_counted_from_the_launch(pool: Driver) -> None:
    half = Resources(cpus=1, memory_bytes=GIB)
    first, second, third = (request("sleep 300", held=half) for _ in range(3))
    await pool.executor.launch(first)
    (unit,) = (await pool.executor.capacity()).units
    assert (unit.total.cpus, unit.free.cpus) == (2.0, 1.0)
    await pool.executor.launch(second)
    with pytest.raises(NoCapacity):
        await pool.executor.launch(third)
    for what in (first, second):
        await pool.executor.cancel(what.attempt_id, 0.0)
        await pool.ended(what.attempt_id)
    (unit,) = (await pool.executor.capacity()).units
    assert unit.free == unit.total


async def test_of_those_launched_at_once_one_that_can_t_be_fails_alone(pool: Driver) -> None:
    half = Resources(cpus=1, memory_bytes=GIB)
    running = [request("sleep 300", held=half) for _ in range(2)]
    await asyncio.gather(*(pool.executor.launch(what) for what in running))
    waiting = [replace(request("true", held=half), in_line=True) for _ in range(4)]
    spoilt = pool.state_dir / "attempts" / waiting[1].attempt_id
    spoilt.write_text("no folder can be made here")
    said = await asyncio.gather(*(pool.executor.launch(what) for what in waiting), return_exceptions=True)
    assert [type(each) for each in said] == [type(None), Unreachable, type(None), type(None)]
    spoilt.unlink()
    await pool.executor.launch(waiting[1])
    await pool.executor.cancel(running[0].attempt_id, 0.0)
    for what in waiting:  # what has not had its turn when its time in the line is over is given back
        assert (await pool.ended(what.attempt_id)).state in (AttemptState.SUCCEEDED, AttemptState.REFUSED)
    await pool.executor.cancel(running[1].attempt_id, 0.0)
    await pool.ended(running[1].attempt_id)


async def test_what_no_node_can_hold_is_rejected(pool: Driver) -> None:
    for held in (Resources(cpus=64), Resources(gpus=1, gpu_model="H100"), Resources(memory_bytes=GIB * 1024)):
        with pytest.raises(Rejected):
            await pool.executor.launch(request("true", held=held))


async def test_a_function_s_value_and_error_come_back(pool: Driver) -> None:
    def double(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return 2 * number

    good, bad = call(double, 21), call(double, -1)
    assert (await pool.run(good)).state is AttemptState.SUCCEEDED
    assert cloudpickle.loads(await pool.executor.result(good.attempt_id)) == ("value", 42)
    assert (await pool.run(bad)).state is AttemptState.FAILED
    kind, error, text = cloudpickle.loads(await pool.executor.result(bad.attempt_id))
    assert (kind, str(error)) == ("error", "negative")
    assert "ValueError: negative" in text


async def test_a_function_finds_the_pool_s_modules_imported(pool: Driver) -> None:
    def there() -> tuple[bool, bool]:
        import sys

        return "colorsys" in sys.modules, "wave" in sys.modules

    what = call(there)
    await pool.run(what)
    assert cloudpickle.loads(await pool.executor.result(what.attempt_id)) == ("value", (True, False))


async def test_what_is_not_known_is_a_key_error(pool: Driver) -> None:
    with pytest.raises(KeyError):
        await pool.executor.logs("ghost-a1", "stdout")
    with pytest.raises(KeyError):
        await pool.executor.result("ghost-a1")
    await pool.executor.forget(["ghost-a1"])


async def test_forget_leaves_nothing(pool: Driver) -> None:
    what = request("echo x")
    await pool.run(what)
    await pool.executor.forget([what.attempt_id])
    with pytest.raises(KeyError):
        await pool.executor.logs(what.attempt_id, "stdout")
    poll = await pool.executor.poll(0)
    assert what.attempt_id not in {report.attempt_id for report in poll.reports}


async def test_a_volume_is_where_the_job_wants_it_and_stays(pool: Driver) -> None:
    missing = request("true", volumes={"d": "my-data"}, volumes_at="local")
    with pytest.raises(Rejected, match="my-data"):
        await pool.executor.launch(missing)
    (pool.state_dir / "volumes" / "my-data").mkdir(parents=True)
    what = request("echo kept > deep/d/file; cat $BROKER_VOLUME_MY_DATA/file", volumes={"/deep/d": "my-data"})
    report = await pool.run(what)
    assert (report.state, await pool.output(what.attempt_id)) == (AttemptState.SUCCEEDED, b"kept\n")
    assert (pool.state_dir / "volumes" / "my-data" / "file").read_text() == "kept\n"


async def test_secrets_are_written_nowhere(pool: Driver) -> None:
    secret = "s3cr3t-94817"
    what = request("sleep 300", envs={"TOKEN": secret}, secret_names=frozenset({"TOKEN"}))
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    found, argvs = files_with(pool.state_dir, secret), command_lines()
    await pool.executor.cancel(what.attempt_id, 0.0)
    await pool.ended(what.attempt_id)
    assert not found
    assert secret.encode() not in argvs


async def test_usage_covers_each_attempt_and_lies_inside_its_unit(pool: Driver) -> None:
    whats = [request("sleep 0.1", held=SMALL) for _ in range(4)]
    reports = [await pool.run(what) for what in whats]
    usage = await pool.executor.usage(0)
    units = {unit.unit_id: unit for unit in usage.units}
    for report in reports:
        (line,) = [each for each in usage.attempts if each.attempt_id == report.attempt_id]
        unit = units[line.unit_id]
        assert report.unit_ids == (line.unit_id,)
        assert unit.started_ns <= line.started_ns <= report.started_ns
        assert line.ended_ns is not None
        assert report.ended_ns <= line.ended_ns <= usage.as_of_ns
        assert line.resources.cpus == SMALL.cpus
    assert {unit.resources.gpus for unit in units.values()} == {NODE.gpus}


async def test_setup_runs_once_for_an_environment(pool: Driver, tmp_path: Path) -> None:
    script = f"echo built >> {tmp_path}/log"
    for _ in range(2):
        assert (await pool.run(request("true", setup=script))).state is AttemptState.SUCCEEDED
    assert (tmp_path / "log").read_text() == "built\n"
    report = await pool.run(request("echo never", setup="echo cannot >&2; exit 9"))
    assert report.state is AttemptState.FAILED
    assert "setup" in report.reason and "9" in report.reason


async def test_a_setup_that_hangs_can_be_cancelled(pool: Driver, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    what = request("true", setup=f"touch {begun}; sleep 300")
    await pool.executor.launch(what)
    async with asyncio.timeout(PATIENCE_S):
        while not begun.exists():
            await asyncio.sleep(0.05)
    await pool.executor.cancel(what.attempt_id, 0.5)
    assert (await pool.ended(what.attempt_id)).state is AttemptState.CANCELLED


async def test_much_output_neither_stalls_nor_fills_the_disk(pool: Driver) -> None:
    what = request("head -c 400000000 /dev/zero; echo done >&2")
    assert (await pool.run(what)).state is AttemptState.SUCCEEDED
    size = sum(path.stat().st_size for path in (pool.state_dir / "attempts" / what.attempt_id).iterdir())
    assert size < MAX_STREAM_BYTES + 1_000_000
    chunk = await pool.executor.logs(what.attempt_id, "stdout", MAX_STREAM_BYTES - 10)
    assert b"dropped" in chunk.data
    await pool.executor.forget([what.attempt_id])


async def test_a_ray_program_runs_on_the_cluster(pool: Driver, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import json, os, ray\nray.init()\n"
        "print(json.dumps([sum(ray.get([ray.remote(num_cpus=0.5)(lambda: 1).remote() for _ in range(4)])),"
        " os.environ['LR']]))\nraise SystemExit(5)\n"
    )
    what = request(
        "python program.py", workdir=str(tmp_path), runtime="ray", envs={"LR": "0.1"}, held=Resources(cpus=2)
    )
    report = await pool.run(what)
    assert report.exit_code == 5, (report, await pool.output(what.attempt_id, "stderr"))
    assert json.loads((await pool.output(what.attempt_id)).splitlines()[-1]) == [4, "0.1"]


async def test_a_ray_program_can_be_cancelled(pool: Driver) -> None:
    what = request("echo on; sleep 300", runtime="ray")
    await pool.executor.launch(what)
    await pool.running(what.attempt_id)
    await pool.executor.cancel(what.attempt_id, 0.5)
    assert (await pool.ended(what.attempt_id)).state is AttemptState.CANCELLED


async def test_python_of_the_job_is_the_pool_s(pool: Driver) -> None:
    what = request("python3 -c 'import sys; print(sys.version_info[:2])'")
    await pool.run(what)
    major, minor = HERE.split(".")
    assert (await pool.output(what.attempt_id)).decode().strip() == f"({major}, {minor})"
