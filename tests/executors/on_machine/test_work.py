"""The working copy: what can't be copied is said in a line."""

import socket
from pathlib import Path

import pytest

from executors.on_machine import work
from tests.executors.on_machine.test_volumes import order


def test_a_folder_with_the_broker_s_own_in_it_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    jobs = tmp_path / "state" / "jobs"
    jobs.mkdir(parents=True)
    for wrong in ({"workdir": str(tmp_path)}, {"file_mounts": {"home": str(tmp_path)}}):
        with pytest.raises(OSError, match="name a smaller folder"):
            work.copy(order(tmp_path, **wrong), jobs / "a")
    assert not [each for each in jobs.rglob("*") if each.is_file() or each.name == "state"]


def test_the_first_of_what_can_t_be_copied_is_named(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(str(tmp_path / "source" / "one"))
        other.bind(str(tmp_path / "source" / "other"))
        with pytest.raises(OSError, match=r"workdir: .*source/o\w+ can't be copied .*, and 1 more"):
            work.copy(order(tmp_path, workdir=str(tmp_path / "source")), tmp_path / "copy")
