"""What people new to it write on the command line, and what they are told."""

from pathlib import Path

import pytest

from broker.cli.options import document_of
from broker.model.errors import InvalidInput
from tests.cli.test_commands import call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text("print('trained')")
    (tmp_path / "empty").mkdir()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.yaml").write_text("run: true")
    (tmp_path / "job.json").write_text('{"run": "true", "name": "from-json"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BROKER_URL", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("empty", "--workdir empty -- COMMAND"),
        ("jobs", "jobs/a.yaml"),
        ("train.py", "broker submit --workdir . -- python train.py"),
    ],
)
def test_what_is_no_command_is_refused_with_what_to_write(here: Path, word: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        document_of([word], {})
    assert told in str(refused.value)


def test_what_can_be_a_command_is_one(here: Path) -> None:
    (here / "true").mkdir()
    (here / "run.sh").write_text("#!/bin/sh\n")
    (here / "run.sh").chmod(0o755)
    long = "echo " + "a" * 300
    for words, flags in (
        (["true"], {}),
        (["empty", "of"], {}),
        (["./run.sh"], {}),
        (["empty"], {"image": "x"}),
        ([long], {}),
    ):
        assert document_of(words, flags)["argv"] == words


def test_a_file_that_does_not_go_along_is_told_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document_of(["python", "train.py"], {})
    assert "train.py does not go along" in capsys.readouterr().err
    for words, flags in ((["python", "train.py"], {"workdir": "."}), (["python", "other.py"], {})):
        document_of(words, flags)
        assert not capsys.readouterr().err


def test_a_job_file_may_be_json(here: Path) -> None:
    assert document_of(["job.json"], {})["name"] == "from-json"


def test_an_option_of_the_command_is_told_where_it_goes() -> None:
    said = call("submit", "python", "train.py", "--lr", "1")
    assert said.returncode == 2
    assert "go after --: broker submit -- python" in said.stderr
    assert "go after --" not in call("submit", "--lr", "1", "--", "python").stderr
