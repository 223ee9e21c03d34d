"""Schedules at the command line, with a real daemon that is killed meanwhile."""

import json
from collections.abc import Iterator

import pytest

from tests.daemon.running import Daemon, daemon

NIGHTLY = ("schedule", "create", "nightly", "--cron", "0 2 29 2 *", "--cpus", "0.5", "--memory", "64MiB")


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with daemon() as here:
        here.up()
        yield here


def test_a_schedule_is_made_fired_paused_and_removed_and_outlives_the_daemon(running: Daemon) -> None:
    made = running.call(*NIGHTLY, "--timezone", "Europe/Berlin", "--", "sh", "-c", "echo at $SCHEDULED_AT")
    assert made.returncode == 0, made.stderr
    assert "At 02:00 on February 29 (0 2 29 2 *, Europe/Berlin)" in made.stdout
    assert "runs:  sh -c 'echo at $SCHEDULED_AT'" in made.stdout
    assert running.call(*NIGHTLY, "--", "true").returncode == 4
    running.kill()
    running.up()
    fired = running.call("schedule", "run-now", "nightly")
    job = fired.stdout.strip()
    assert running.ended(job)["state"] == "succeeded"
    assert running.output(job).startswith(b"at 20")
    assert running.call("schedule", "pause", "nightly").returncode == 0
    (listed,) = json.loads(running.call("schedule", "list", "--json").stdout)
    assert (listed["paused"], listed["next"], listed["last"][0]["job_id"]) == (True, [], job)
    shown = running.call("schedule", "show", "nightly").stdout
    assert "next:  paused" in shown and f"submitted\t{job}" in shown
    assert "fires next 20" in running.call("schedule", "resume", "nightly").stderr
    assert running.call("schedule", "delete", "nightly").returncode == 0
    assert running.call("schedule", "show", "nightly").returncode == 2


def test_what_can_t_be_is_said_before_anything_is_made(running: Daemon) -> None:
    said = running.call("schedule", "create", "x", "--cron", "61 * * * *", "--", "true")
    assert (said.returncode, "cron" in said.stderr, "Traceback" in said.stderr) == (2, True, False)
    assert running.call("schedule", "list", "--json").stdout.strip() == "[]"
