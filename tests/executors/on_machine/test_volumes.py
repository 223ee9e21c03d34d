"""Volumes in a job's working directory: linked on this machine's nodes and by the agent elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker.testing.builders import launch_request, pool
from executors.on_machine import work
from executors.on_machine.order import Order, order_of
from executors.remote import agent, bundle


def order(folder: Path, **fields: object) -> Order:
    request = launch_request("true", volumes_at="local", **fields)
    return order_of(request, pool(), 1_000, str(folder / "root"), str(folder / "volumes"))


def test_a_volume_is_where_the_job_wants_it_and_in_its_variable(tmp_path: Path) -> None:
    wanted = order(tmp_path, volumes={"/deep/down": "my-data", "~/near": "other"})
    for _ in range(2):  # each node of a job that share a folder
        work.copy(wanted, tmp_path / "work")
    (tmp_path / "work" / "deep" / "down" / "file").write_text("kept")
    assert (tmp_path / "volumes" / "my-data" / "file").read_text() == "kept"
    assert (tmp_path / "work" / "near").readlink() == tmp_path / "volumes" / "other"
    variables = work.base_variables(wanted, "/home", "")
    assert variables["BROKER_VOLUME_MY_DATA"] == str(tmp_path / "volumes" / "my-data")


def test_nothing_is_overwritten_or_put_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "taken").mkdir(parents=True)
    (source / "away").symlink_to("/tmp")
    with pytest.raises(OSError, match="there is something at taken"):
        work.copy(order(tmp_path, volumes={"taken": "data"}, workdir=str(source)), tmp_path / "a")
    with pytest.raises(OSError, match="outside the job's working directory"):
        work.copy(order(tmp_path, volumes={"away/data": "data"}, workdir=str(source)), tmp_path / "b")
    assert not Path("/tmp/data").is_symlink()


def test_the_agent_elsewhere_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "VOLUMES", str(tmp_path / "broker" / "volumes"))
    run = 'echo kept > deep/down/file; cat "$BROKER_VOLUME_MY_DATA/file"'
    request = launch_request(run, volumes={"/deep/down": "my-data"}, volumes_at="modal")
    text = json.dumps(bundle.order_of(request, 1_000))
    words = [sys.executable, agent.__file__, text, ""]
    said = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "kept\n" in said.stdout
    assert (tmp_path / "broker" / "volumes" / "my-data" / "file").read_text() == "kept\n"
