"""What may happen to a daemon and its machine: a clear error or a correct result, and nothing lost."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from broker.model.audit import AuditFilter
from broker.model.errors import DaemonError
from broker.run.lifecycle import is_running
from broker.run.store import open_store
from executors.on_machine.processes import marked
from tests.daemon.running import BROKER, Daemon, Gate, daemon, until


@pytest.fixture
def up() -> Iterator[Daemon]:
    with daemon() as here:
        here.up()
        yield here


def test_a_daemon_killed_again_and_again_loses_nothing_and_repeats_nothing() -> None:
    with daemon(containers=2) as here:
        here.up()
        job = here.submit("sleep 0.3; echo task $BROKER_ARRAY_INDEX", array=12)
        for enough in (1, 5, 9):
            until(lambda enough=enough: _succeeded(here, job) >= enough, "tasks have ended")
            here.kill()
            assert "broker up" in here.call("list").stderr
            here.up()
        assert here.ended(job)["state"] == "succeeded"
        tasks = list(here.client.each_job(array=job))
        assert [task["attempts"] for task in tasks] == [1] * 12
        assert sorted(here.output(task["id"]) for task in tasks) == sorted(b"task %d\n" % n for n in range(12))


def _succeeded(here: Daemon, array: str) -> int:
    return int(here.client.job(array)["counts"].get("succeeded", 0))


def test_what_a_task_cost_is_charged_once_however_often_the_daemon_was_killed() -> None:
    with daemon(containers=1) as here:
        here.up()
        job = here.submit("sleep 1")
        for _ in range(3):
            until(lambda: here.state(job) in ("running", "succeeded"), "it runs")
            here.kill()
            here.up()
        here.ended(job)
        until(lambda: here.client.job(job)["cost"]["complete"], "it is charged")
        view = here.client.job(job)
        spans = sorted((line["started_at"], line["ended_at"]) for line in view["charges"] if line["kind"] == "job")
        assert spans
        assert spans[0][0] <= view["started_at"] < view["ended_at"] <= spans[-1][1]
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_second_daemon_is_refused_and_up_is_satisfied(up: Daemon) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "broker.api.serve", "--config", up.config],
        env={**os.environ, "BROKER_STATE_DIR": str(up.state_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"already running on {up.state_dir} (process {up.pid})" in second.stdout + second.stderr
    before = up.pid
    again = up.call("up")
    assert (again.returncode, up.pid) == (0, before)


def test_a_port_in_use_is_named_and_nothing_is_left_running() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with daemon(top=f'listen = "loopback:{port}"') as here:
            with pytest.raises(DaemonError, match=f"port {port}.*listen"):
                here.up()
            assert not is_running(here.state_dir)


def test_a_socket_path_that_is_too_long_is_said_with_what_to_do(tmp_path: Path) -> None:
    here = Daemon(tmp_path / ("x" * 100))
    here.state_dir.mkdir()
    with pytest.raises(DaemonError, match=r"too long.*state_dir"):
        here.up()


def test_on_loopback_a_token_is_asked_for() -> None:
    with daemon(top='listen = "loopback:0"') as here:
        here.up()
        assert here.ended(here.submit("true"))["state"] == "succeeded"
        token = here.state_dir / "token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.read_text().encode() not in Path(f"/proc/{here.pid}/cmdline").read_bytes()


def test_a_clock_that_jumps_back_makes_no_run_negative(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "_real, _file = time.time_ns, os.environ['CLOCK_SHIFT']\n"
        "def _shifted():\n"
        "    return _real() + int(open(_file).read() or 0)\n"
        "time.time_ns = _shifted\n"
        "time.time = lambda: _shifted() / 1e9\n"
    )
    shift = tmp_path / "shift"
    shift.write_text("0")
    environment = {"PYTHONPATH": str(tmp_path), "CLOCK_SHIFT": str(shift)}
    with daemon(environment=environment) as here:
        here.up()
        gate = Gate()
        job = here.submit(gate.wait)
        until(lambda: here.state(job) == "running", "it runs")
        draft = tmp_path / "draft"
        draft.write_text(str(-3_600 * 10**9))
        draft.replace(shift)
        gate.open()
        view = here.ended(job)
        assert view["state"] == "succeeded"
        assert view["submitted_at"] <= view["started_at"] < view["ended_at"]
        later = here.ended(here.submit("true"))
        assert view["ended_at"] <= later["submitted_at"] <= later["ended_at"]
        until(lambda: here.client.job(job)["cost"]["complete"], "it is charged")
        assert 0 < float(here.client.job(job)["cost"]["usd"]) < 0.01


def test_much_output_stays_out_of_the_daemon_s_memory_and_off_the_disk() -> None:
    with daemon(top='[logs]\nmax_stream = "20MB"\n') as here:
        here.up()
        job = here.submit("head -c 400000000 /dev/zero; echo end >&2")
        assert here.ended(job)["state"] == "succeeded"
        kept = sum(len(piece) for piece in here.client.output(job))
        assert 20_000_000 <= kept < 20_001_000
        assert b"end\n" in b"".join(here.client.output(job, "stderr"))
        status = Path(f"/proc/{here.pid}/status").read_text().splitlines()
        peak_kib = int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
        assert peak_kib < 200 * 1024
        assert "dropped" in here.call("logs", job).stdout[-200:]


def test_output_that_is_no_text_arrives_as_it_was(up: Daemon) -> None:
    job = up.submit(r"printf '\377\376\000ok'")
    up.ended(job)
    assert up.output(job) == b"\xff\xfe\x00ok"
    assert "ok" in up.call("logs", job).stdout


def test_a_command_that_does_not_exist_is_named(up: Daemon) -> None:
    said = up.call("submit", "--cpus", "0.5", "--", "no-such-program")
    assert said.returncode == 127
    assert "no-such-program" in said.stdout + said.stderr


def test_ten_thousand_gpus_are_refused_with_what_there_is(up: Daemon) -> None:
    said = up.call("submit", "--gpus", "L4:10000", "--", "true")
    assert said.returncode not in (0, 1)
    assert "--gpus: 10000 GPUs are more than 128" in said.stderr
    many = up.call("submit", "--gpus", "L4:100", "--", "true")
    assert many.returncode not in (0, 1)
    assert "L4" in many.stderr
    assert "Traceback" not in said.stderr
    assert not list(up.client.each_job(state=["queued", "running"]))


def test_an_environment_that_can_t_be_built_is_the_job_s_failure_with_the_reason(up: Daemon) -> None:
    view = up.ended(up.submit("echo never", setup="echo no such package >&2; exit 3"))
    assert view["state"] == "failed"
    assert "setup" in view["reason"]
    assert "3" in view["reason"]


def test_a_job_that_forks_and_won_t_die_is_ended_with_all_it_started(up: Daemon) -> None:
    job = up.submit("trap '' TERM; (trap '' TERM; setsid sleep 300 & sleep 300) & echo on; wait")
    until(lambda: up.output(job), "it has forked")
    (attempt,) = up.client.job(job)["made"]
    until(lambda: len(_of(attempt["id"])) >= 3, "all of them run")
    assert up.call("cancel", job).returncode == 0
    assert up.ended(job)["state"] == "cancelled"
    until(lambda: not _of(attempt["id"]), "its children are gone")


def test_a_job_that_eats_memory_says_so(up: Daemon) -> None:
    view = up.ended(up.submit("exec python3 -c 'x = bytearray(1 << 30)'"))
    assert view["state"] == "failed"
    assert "memory" in view["reason"]


def _of(attempt_id: str) -> list[int]:
    return marked("BROKER_ATTEMPT_ID", attempt_id)


def test_down_waits_for_what_runs_and_keeps_what_waits() -> None:
    with daemon(containers=1) as here, daemon() as other:
        here.up()
        other.up()
        bystander = other.submit("sleep 300")
        first = here.submit("sleep 1; echo ran", resources={"cpus": 1})
        second = here.submit("echo ran", resources={"cpus": 1})
        until(lambda: here.state(first) in ("running", "succeeded"), "the first runs")
        until(lambda: other.state(bystander) == "running", "the other broker's runs")
        assert here.down().returncode == 0
        assert other.state(bystander) == "running"
        here.up()
        assert here.state(first) == "succeeded"
        assert here.client.job(first)["ended_at"] < here.ended(second)["started_at"]
        assert here.output(first) == here.output(second) == b"ran\n"


def test_down_ends_what_a_daemon_left_that_was_killed() -> None:
    with daemon(containers=1) as here:
        here.up()
        job = here.submit("sleep 300", resources={"cpus": 1})
        waits = here.submit("true", resources={"cpus": 1})
        until(lambda: here.state(job) == "running", "it runs")
        (attempt,), dead = here.client.job(job)["made"], here.pid
        here.kill()
        told = here.call("status")
        assert told.returncode == 3
        assert f"(process {dead}, started" in told.stderr
        assert "What it started in burst may still run and cost money" in told.stderr
        assert _of(attempt["id"])
        ended = here.down("--now")
        assert ended.returncode == 0, ended.stderr
        assert f"process {dead}" in ended.stderr
        _nothing_runs(here)
        store = open_store(f"sqlite:///{here.state_dir / 'broker.db'}")
        assert [store.job(each).state for each in (job, waits)] == ["cancelled", "queued"]
        assert store.attempt(attempt["id"]).state.ended
        assert [each for each in store.charges(pool="burst") if each.attempt_id == attempt["id"]]
        (entry,) = store.audit(AuditFilter(action="shutdown"))
        assert (entry.target, entry.origin, entry.outcome, bool(entry.user)) == ("burst", "machine", "done", True)
        store.close()
        assert "cost money" not in here.call("status").stderr
        assert here.down().stderr == "no broker is running\n"


def _nothing_runs(here: Daemon) -> None:
    named = str(here.state_dir)
    until(lambda: not [path for path in Path("/proc").glob("[0-9]*/cmdline") if named in _text(path)], "all is gone")


def test_down_now_cancels_what_runs_and_leaves_no_process(up: Daemon) -> None:
    job = up.submit("sleep 300")
    until(lambda: up.state(job) == "running", "it runs")
    (attempt,) = up.client.job(job)["made"]
    assert _of(attempt["id"])
    assert up.down("--now").returncode == 0
    assert not _of(attempt["id"])
    _nothing_runs(up)
    up.up()
    assert up.state(job) == "cancelled"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_it_stays_up_when_its_terminal_goes(tmp_path: Path) -> None:
    """A daemon that a command started is no child of that command's session."""
    with daemon() as here:
        environment = {**os.environ, "BROKER_STATE_DIR": str(here.state_dir), "BROKER_CONFIG": str(here.config)}
        said = subprocess.run([BROKER, "submit", "-d", "--", "true"], env=environment, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        assert os.getsid(here.pid) == here.pid
        assert here.ended(said.stdout.split()[-1])["state"] == "succeeded"
