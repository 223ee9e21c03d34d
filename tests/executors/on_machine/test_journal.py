"""What was journalled is found again, whatever the writer's end."""

import os
from pathlib import Path

import pytest

from executors.on_machine import journal as module
from executors.on_machine.journal import Journal


def test_the_newest_counts_and_the_forgotten_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for number in range(3):
        journal.write({"attempt_id": "a", "n": number})
    journal.write({"attempt_id": "b", "n": 0})
    journal.forget("b")
    assert Journal(tmp_path / "j").reports == journal.reports == {"a": {"attempt_id": "a", "n": 2}}


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    Journal(tmp_path / "j").write({"attempt_id": "a"})
    with (tmp_path / "j").open("a") as file:
        file.write('{"attempt_id": "b", "st')
    assert set(Journal(tmp_path / "j").reports) == {"a"}


def test_it_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLACK_LINES", 20)
    journal = Journal(tmp_path / "j")
    for number in range(500):
        journal.write({"attempt_id": f"a{number % 5}", "n": number})
    assert len((tmp_path / "j").read_text().splitlines()) <= 32
    assert {report["n"] for report in Journal(tmp_path / "j").reports.values()} == set(range(495, 500))


def test_a_full_disk_tears_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:5]))
    with pytest.raises(OSError, match="No space"):
        journal.write({"attempt_id": "lost"})
    monkeypatch.undo()
    journal.write({"attempt_id": "kept"})
    assert set(Journal(tmp_path / "j").reports) == set(journal.reports) == {"kept"}
