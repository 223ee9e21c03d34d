"""A volume between two jobs of a real pool: what one wrote the next one reads, in another container."""

from collections.abc import Iterator

import pytest

from broker.model.errors import Conflict, InvalidInput
from tests.daemon.running import Daemon, daemon


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with daemon() as here:
        here.up()
        yield here


def test_what_one_job_wrote_the_next_one_reads(running: Daemon) -> None:
    assert running.call("volume", "create", "my-data").returncode == 0
    volumes = {"/checkpoints/last": "my-data"}
    first = running.submit("echo step-7 > checkpoints/last/step; ls -d /*", volumes=volumes)
    assert running.ended(first)["state"] == "succeeded"
    second = running.submit("cat checkpoints/last/step $BROKER_VOLUME_MY_DATA/step", volumes=volumes)
    assert running.ended(second)["state"] == "succeeded"
    assert running.output(second) == b"step-7\nstep-7\n"
    assert running.client.volume("my-data")["size_bytes"] == 7
    other = running.submit(f"ls {running.state_dir}/volumes/my-data")
    assert running.ended(other)["state"] == "failed" or running.output(other) == b""


def test_it_stays_while_it_is_used_and_goes_when_it_is_removed(running: Daemon) -> None:
    running.client.create_volume("busy")
    job = running.submit("sleep 1000", volumes={"d": "busy"})
    with pytest.raises(Conflict, match=job):
        running.client.delete_volume("busy")
    running.client.cancel(job)
    running.ended(job)
    said = running.call("volume", "delete", "busy", "--yes")
    assert (said.returncode, (running.state_dir / "volumes" / "busy").exists()) == (0, False), said.stderr
    with pytest.raises(InvalidInput, match="volume create busy"):
        running.submit("true", volumes={"d": "busy"})


def test_what_is_in_the_way_is_said(running: Daemon) -> None:
    running.client.create_volume("other")
    work = running.state_dir / "work"
    (work / "d").mkdir(parents=True)
    job = running.submit("true", volumes={"d": "other"}, workdir=str(work))
    assert "there is something at d" in running.ended(job)["reason"]
