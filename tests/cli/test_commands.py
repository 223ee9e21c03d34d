"""The `broker` command as a person or a script meets it: help, exit codes, errors in words, tables in pipes."""

import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker.cli import daemon, render, watch
from broker.cli.detail import said_once
from broker.cli.failing import each_of, in_our_words
from broker.cli.main import COMMANDS
from broker.cli.options import document_of
from broker.model.errors import DaemonError, InvalidInput, Problem, UnknownName
from broker.run.lifecycle import DaemonFile
from broker.sdk.events import Seen

BROKER = str(Path(sys.executable).with_name("broker"))
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
NAMES = sorted(command.__name__.removesuffix("_jobs") for command in COMMANDS)


def call(*words: str, cwd: Path | None = None, columns: int = 120) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="bc-") as state:
        environment = {**os.environ, "BROKER_STATE_DIR": state, "COLUMNS": str(columns)}
        return subprocess.run([BROKER, *words], capture_output=True, text=True, env=environment, cwd=cwd, check=False)


def test_help_lists_every_command() -> None:
    said = call("--help")
    assert said.returncode == 0
    for name in [*NAMES, "prices"]:
        assert f"  {name} " in said.stdout


def test_help_says_what_each_command_does_in_whole_words_on_a_narrow_terminal() -> None:
    assert "..." not in call("--help", columns=80).stdout.partition("Commands:")[2]


HEAVY = ("numba", "numpy", "pandas", "plotly", "pulp", "ray", "scipy", "sqlalchemy", "statsforecast", "fastapi")


def test_the_start_with_all_plugins_loads_nothing_heavy() -> None:
    code = "import sys, broker.cli.main as m; m.add_plugin_commands(m.app); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in HEAVY if name in loaded]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example_and_is_documented(name: str) -> None:
    said = call(name, "--help")
    assert said.returncode == 0
    assert "Example" in said.stdout
    assert f"| `{name}` |" in DOCS.read_text()


def test_a_wrong_option_is_refused_without_a_traceback() -> None:
    said = call("list", "--nonsense")
    assert said.returncode == 2
    assert "--nonsense" in said.stderr
    assert "Traceback" not in said.stderr


def test_without_a_broker_it_says_how_to_start_one() -> None:
    said = call("list")
    assert said.returncode == 3
    assert "broker up" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_wrong_file_is_refused_with_its_place_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("run: echo hi\nresources:\n  acelerators: H100\n")
    said = call("submit", "job.yaml", cwd=tmp_path)
    assert said.returncode == 2
    assert "job.yaml:3" in said.stderr
    assert "accelerators" in said.stderr


def test_flags_are_laid_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("name: a\nrun: echo hi\npriority: 10\n")
    document = document_of([str(file)], {"priority": "90", "tags": ["team=x"]})
    assert (document["name"], document["priority"], document["tags"]) == ("a", 90, {"team": "x"})


def test_an_error_in_a_flag_names_the_flag() -> None:
    with pytest.raises(InvalidInput, match="--gpus"):
        document_of(["true"], {"resources.accelerators": "H1000:8"})


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (0.0004, "< 1 ms"), (0.02, "20 ms"), (12.34, "12.3 s"), (3700, "1 h 01 m")]
)
def test_durations_are_worded_for_people(seconds: float | None, words: str) -> None:
    assert render.seconds(seconds) == words


def test_an_unknown_amount_is_not_zero() -> None:
    assert render.usd(None) == "unknown"
    assert render.usd("0") == "$0.00"


def test_in_a_pipe_a_table_is_tab_separated(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [render.Column(head="a", cell=lambda row: str(row["a"])), render.Column(head="b", cell=lambda _: "x\ny")]
    render.table(columns, [{"a": 1}], footer={"a": "all"})
    assert capsys.readouterr().out == "a\tb\n1\tx y\nall\tx y\n"


@pytest.mark.parametrize(
    ("state", "code", "given"), [("succeeded", 0, 0), ("failed", 7, 7), ("cancelled", 143, 1), ("failed", None, 1)]
)
def test_a_followed_job_gives_its_own_exit_code(state: str, code: int | None, given: int) -> None:
    assert watch.exit_code({"state": state, "exit_code": code}) == given


def test_why_a_job_waits_is_said_again_only_in_other_words(capsys: pytest.CaptureFixture[str]) -> None:
    waits = ("", "no room for about 13 s", "no room for about 3 s", "ray is out of use")
    seen = [
        *(("queued", reason) for reason in waits),
        *((state, "attempt 1 in ray") for state in ("starting", "running")),
    ]
    events = [Seen(job={"state": state, "reason": reason, "ended": False}) for state, reason in seen]
    followed = SimpleNamespace(follow=lambda job_id, lost: iter(events))
    watch._show_events(followed, "j", {})  # type: ignore[arg-type]
    said = capsys.readouterr().err.splitlines()
    assert said == ["[queued] no room for about 13 s", "[queued] ray is out of use", "[starting] attempt 1 in ray"]


def test_a_terminal_is_told_that_there_is_nothing_and_a_pipe_gets_the_heads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [render.Column(head="a", cell=lambda row: str(row["a"]))]
    render.table(columns, [], none="no job yet")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    render.table(columns, [], title="attempts")
    assert capsys.readouterr() == ("a\n", "attempts: nothing here yet\n")


def test_what_the_broker_calls_a_period_is_called_by_its_option() -> None:
    error = InvalidInput(Problem(field="period", message="is none"), Problem(field="by", message="is none"))
    assert in_our_words(error) == "--for: is none\nby: is none"
    assert in_our_words(InvalidInput(Problem(field="state", message="is none"))) == "--state: is none"


def test_a_reason_that_an_attempt_and_its_job_share_is_said_once() -> None:
    changes = [{"reason": reason} for reason in ("room", "room", "", "room", "lost")]
    assert [each["reason"] for each in said_once(changes)] == ["room", "", "", "", "lost"]


@pytest.mark.parametrize("command", ["up", "down"])
def test_what_is_about_a_broker_here_is_refused_where_another_is_named(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_URL", "https://broker.example:8443")
    said = call(command)
    assert (said.returncode, "BROKER_URL: names the broker at https://broker.example:8443" in said.stderr) == (2, True)


def test_the_page_of_a_broker_elsewhere_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "https://broker.example:8443")
    assert call("dashboard", "--no-browser").stdout == "https://broker.example:8443\n"


def test_what_is_wrong_with_one_job_keeps_no_other_from_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def act(job: str) -> int:
        seen.append(job)
        if job == "typo":
            raise UnknownName("there is no job 'typo'")
        return 0

    assert (each_of(["a", "typo", "b"], act), seen) == (2, ["a", "typo", "b"])
    assert capsys.readouterr().err == "error: there is no job 'typo'\n"

    def away(job: str) -> int:
        raise DaemonError(f"no broker for {job}")

    with pytest.raises(DaemonError, match="for a"):
        each_of(["a", "b"], away)


def test_a_broker_that_runs_is_told_from_one_with_the_configuration_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = tmp_path / "broker.toml", tmp_path / "other.toml"
    for file in (ours, other):
        file.touch()
    values = {"pid": 1, "address": "", "token_file": "", "dashboard": "", "version": ""}
    runs = DaemonFile(**values, started="2026-11-26T12:00:00+00:00", config=str(ours))
    monkeypatch.setattr(DaemonFile, "read", lambda _: runs)
    started_s = datetime.fromisoformat(runs.started).timestamp()

    def said(file: Path, at_s: float) -> list[str]:
        monkeypatch.setenv("BROKER_CONFIG", str(file))
        if file.exists():
            os.utime(file, (at_s, at_s))
        return list(daemon._left_out(tmp_path))

    assert said(ours, started_s - 1) == []
    assert said(ours, started_s + 1) == [f"{ours} was changed since the broker started"]
    assert said(other, started_s - 1) == [f"the broker runs with {ours}, not with {other}"]
    assert said(tmp_path / "typo.toml", 0) == [f"the broker runs with {ours}, not with {tmp_path / 'typo.toml'}"]


@pytest.mark.parametrize(("theirs", "ours"), [("ps", "list"), ("launch", "submit"), ("scancel", "cancel")])
def test_what_other_tools_call_a_command_is_told(theirs: str, ours: str) -> None:
    said = call(theirs)
    assert said.returncode == 2
    assert f"No such command '{theirs}': here it is `broker {ours}`." in said.stderr


def test_an_interrupt_while_it_loads_leaves_no_traceback() -> None:
    code = (
        "import sys, broker.cli.entry as entry\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'broker.cli.main':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "entry.main()\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (130, "")


def test_a_name_that_no_variable_has_is_refused_before_a_value_is_asked_for() -> None:
    said = call("secret", "set", "hf-token")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("error: hf-token: is no name of an environment variable: use letters, digits and _")
