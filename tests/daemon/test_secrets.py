"""A secret from the command line to a job, with a real daemon: it is nowhere else on the way, and nowhere after."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.model.errors import InvalidInput
from tests.daemon.running import BROKER, Daemon, daemon, until
from tests.seen import command_lines, files_with

VALUE = "s3cr3t-94817-s3cr3t-for-nobody"


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with daemon() as here:
        here.up()
        environment = {**os.environ, "BROKER_STATE_DIR": str(here.state_dir), "BROKER_CONFIG": str(here.config)}
        words = [BROKER, "secret", "set", "TOKEN"]
        said = subprocess.run(words, input=VALUE + "\n", text=True, capture_output=True, env=environment, check=True)
        assert VALUE not in said.stdout + said.stderr
        yield here


def places(folder: Path) -> list[str]:
    """Files with the value."""
    return [str(path.relative_to(folder)) for path in files_with(folder, VALUE)]


def test_a_job_gets_it_and_writes_it_and_nobody_sees_it(running: Daemon) -> None:
    check = f'[ "$TOKEN" = "$(printf %s {VALUE[::-1]} | rev)" ] && echo right'
    run = f"{check}; echo a${{TOKEN}}b; echo $TOKEN >&2; sleep 1000"
    job = running.submit(run, secrets=["TOKEN"], resources={"cpus": 0.5, "memory": "64MiB"})
    masked = b"a" + b"*" * len(VALUE) + b"b"
    until(lambda: masked in running.output(job), "the live output is masked")
    assert b"right" in running.output(job)
    assert VALUE.encode() not in command_lines()
    running.client.cancel(job)
    running.ended(job)
    until(lambda: (running.state_dir / "archive" / f"{job}-a1").is_dir(), "its output is archived")
    until(lambda: places(running.state_dir) == [], "no file has the value")
    assert masked in running.output(job)
    assert VALUE not in running.call("show", job, "--json").stdout


def test_one_in_a_file_is_there_while_the_job_runs_and_nowhere_after(running: Daemon) -> None:
    run = 'cat "$KEY_FILE"; stat -c %a "$KEY_FILE"; env | grep -c s3cr3t; sleep 1000'
    job = running.submit(run, secret_files={"KEY_FILE": "TOKEN"}, resources={"cpus": 0.5, "memory": "64MiB"})
    until(lambda: running.output(job) == b"*" * len(VALUE) + b"400\n0\n", "its output is masked")
    assert VALUE.encode() not in command_lines()
    raw = {"stdout"}  # is masked when it is archived
    assert {Path(place).name for place in places(running.state_dir)} - raw == {"KEY_FILE"}
    running.client.cancel(job)
    running.ended(job)
    until(lambda: places(running.state_dir) == [], "no file has the value")
    with pytest.raises(InvalidInput, match="secrets: secret NONE has no value"):
        running.submit("true", secret_files={"KEY_FILE": "NONE"})


def test_what_its_setup_says_is_masked_in_the_reason(running: Daemon) -> None:
    job = running.submit("true", setup="echo $TOKEN; exit 3", secrets=["TOKEN"])
    ended = running.ended(job)
    assert (ended["state"], VALUE in str(running.client.job(job))) == ("failed", False)
    assert "*" * len(VALUE) in ended["reason"]


def test_a_job_with_a_secret_that_is_not_there_is_refused_and_is_told_what_to_do(running: Daemon) -> None:
    with pytest.raises(InvalidInput, match="secrets: secret NONE has no value: `broker secret set NONE`"):
        running.submit("true", secrets=["NONE"])


def test_a_value_comes_from_a_variable_or_a_file_and_the_key_is_exchanged(running: Daemon) -> None:
    file = running.state_dir / "value.txt"
    file.write_text("from-a-file\n")
    running.environment["FROM"] = "from-a-variable"
    assert running.call("secret", "set", "A", "--from-file", str(file)).returncode == 0
    assert running.call("secret", "set", "B", "--from-env", "FROM").returncode == 0
    assert running.call("secret", "set", "B", "--from-env", "NOWHERE").returncode == 2
    assert "sealed with the new key" in running.call("secret", "rotate-key").stderr
    file.unlink()
    job = running.submit('test "$A$B" = from-a-filefrom-a-variable', secrets=["A", "B"])
    assert running.ended(job)["state"] == "succeeded"
    listed = running.call("secret", "list").stdout
    assert "A\t1\teverybody" in listed and "from-a" not in listed
    assert running.call("secret", "delete", "A").returncode == 0
