"""Results of functions: what is too long to be read in one go is dropped, and said, wherever it comes from."""

import base64
import json
from pathlib import Path

import pytest

from executors.on_machine import attempt_dir, outcome
from executors.on_machine.attempt_dir import AttemptDir, read_result
from executors.on_machine.outcome import ended, with_result_in_bounds
from executors.remote import output
from executors.remote.agent import FRAME


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AttemptDir:
    for module in (attempt_dir, outcome, output):
        monkeypatch.setattr(module, "MOST_RESULT_BYTES", 8)
    found = AttemptDir(tmp_path / "attempt")
    found.make()
    found.write_end({})
    return found


@pytest.mark.parametrize(("size", "kept"), [(8, True), (9, False)])
def test_one_that_is_too_long_makes_a_failure_of_a_success(folder: AttemptDir, size: int, kept: bool) -> None:
    folder.result.write_bytes(b"x" * size)
    found = with_result_in_bounds(ended("succeeded", exit_code=0), folder)
    assert (found["state"] == "succeeded", folder.result.exists(), not found["reason"]) == (kept, kept, kept)
    folder.result.write_bytes(b"x" * size)
    assert with_result_in_bounds(ended("cancelled", reason="cancelled"), folder)["state"] == "cancelled"


@pytest.mark.parametrize(("size", "kept"), [(8, True), (9, False)])
def test_one_that_has_grown_since_is_not_read(folder: AttemptDir, size: int, kept: bool) -> None:
    folder.result.write_bytes(b"x" * size)
    assert read_result(folder) == (b"x" * size if kept else None)


@pytest.mark.parametrize(("size", "kept"), [(8, True), (9, False)])
def test_one_that_comes_in_pieces_is_not_gathered(folder: AttemptDir, size: int, kept: bool) -> None:
    copy = output.Copy(folder.stderr, lambda frame: None)
    for _ in range(2):  # the stream is read again where the connection was lost
        copy.begin()
        for _ in range(size):
            copy.take(FRAME + json.dumps({"kind": "result", "data": base64.b64encode(b"x").decode()}) + "\n")
        assert (copy.result, "its result" in copy.lost) == ((b"x" * size, False) if kept else (b"", True))
