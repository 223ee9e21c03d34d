"""Control groups of attempts: what nobody watches any more is ended, and its groups with it."""

import os
import subprocess
import sys
from pathlib import Path

from broker.testing.executor_watch import PATIENCE_S
from executors.on_machine import limits
from tests.executors.cgroups import needs_cgroups


@needs_cgroups
def test_what_an_attempt_left_is_ended_with_its_groups() -> None:
    name = f"test-limits-{os.getpid()}-a1"
    kept = limits.Limits(name, memory_bytes=64 << 20)
    assert kept.groups
    environment = {**os.environ, "BROKER_ATTEMPT_ID": name}
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen([*kept.entering(), *sleep], env=environment) as process:
        limits.end_left(name)
        assert process.wait(PATIENCE_S) < 0
    assert not [group for group in kept.groups if group.exists()]


@needs_cgroups
def test_a_command_is_under_its_limits_from_its_beginning_and_begins_without_them_too() -> None:
    kept = limits.Limits(f"test-limits-{os.getpid()}-a3", memory_bytes=64 << 20)
    entering = kept.entering()

    def said(*command: str) -> str:
        return subprocess.run([*entering, *command], capture_output=True, text=True, check=True).stdout

    assert f"/broker-test-limits-{os.getpid()}-a3\n" in said("cat", "/proc/self/cgroup")
    assert kept.close()
    assert (said("echo", "a  b", "--", "$1"), kept.entering()) == ("a  b -- $1\n", [])


READS = ["sh", "-c", "trap '' TERM; echo on; read _"]  # until its input is closed


@needs_cgroups
def test_what_has_hidden_its_mark_is_ended_with_the_groups_that_it_is_in() -> None:
    kept = limits.Limits(f"test-limits-{os.getpid()}-a4", memory_bytes=64 << 20)
    with subprocess.Popen([*kept.entering(), *READS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        assert kept.members() == [process.pid]
        kept.end()
        assert (process.wait(PATIENCE_S), kept.groups) == (-9, [])


@needs_cgroups
def test_what_runs_on_moves_up_when_its_groups_are_removed() -> None:
    kept = limits.Limits(f"test-limits-{os.getpid()}-a5", memory_bytes=64 << 20)
    with subprocess.Popen([*kept.entering(), *READS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        assert kept.close() and process.poll() is None
        assert limits.kind() == "cgroup v2" or f"{process.pid}\n" in Path("/sys/fs/cgroup/memory/tasks").read_text()


def test_without_any_left_nothing_is_there_afterwards() -> None:
    limits.end_left(name := f"test-limits-{os.getpid()}-a2")
    assert not [path for path in limits._ROOT.glob(f"*/broker-{name}")]
