"""Jobs of other tools as a person brings them: what comes out is a job file, what is lost is said on stderr."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker.spec.read import read_yaml
from tests.command_line import Said, broker

EXAMPLES = Path(__file__).parents[2] / "examples"
MODAL = """
import modal
app = modal.App("a")

@app.function(gpu="L4", cloud="aws")
def train(lr: float = 0.1): ...

@app.function()
@modal.asgi_app()
def web(): ...
"""


def call(*words: str, cwd: Path) -> Said:
    return broker("import", *words, cwd=cwd)


def test_a_modal_program_becomes_files_that_are_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(MODAL)
    made = call("modal", "a.py", "--arg", "lr=0.5", "-o", "jobs", cwd=tmp_path)
    assert made.returncode == 0
    assert "note: train: a.py:6: cloud: is ignored" in made.stderr
    assert "not translated: web: a.py:9: asgi_app: answers requests" in made.stderr
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["train.yaml"]
    document = read_yaml(tmp_path / "jobs" / "train.yaml").document
    assert document.workdir == str(tmp_path)
    assert document.argv[2] == "from a import train; train.local(lr=0.5)"
    again = call("modal", "a.py", "-o", "jobs", cwd=tmp_path)
    assert again.returncode == 4
    assert "exists, and is left as it is" in again.stderr


def test_nothing_translated_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(MODAL)
    said = call("modal", "a.py::web", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert "nothing could be translated" in said.stderr


@pytest.mark.parametrize("tool", ["skypilot", "dstack"])
def test_a_task_is_written_in_our_own_names(tool: str, tmp_path: Path) -> None:
    task = EXAMPLES / f"spec-{tool}.yaml"
    said = call(tool, str(task), cwd=tmp_path)
    assert said.returncode == 0
    written = read_yaml(said.stdout)
    assert (written.document, written.ignored) == (read_yaml(task).document, ())
    for note in read_yaml(task).ignored:
        assert f"note: {note}" in said.stderr.replace("\n", " ")


def test_what_ray_job_submit_takes(tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("pip: [torch]\nenv_vars: {A: b}\nexcludes: [data]\n")
    flags = ("--working-dir", ".", "--runtime-env", "env.yaml", "--submission-id", "r1", "--entrypoint-num-gpus", "1")
    said = call("ray", *flags, "--metadata-json", '{"team": "ml"}', "--", "python", "x.py", "--n", "3", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "runtime_env.excludes: is ignored" in said.stderr
    job = read_yaml(said.stdout.replace("workdir: .", f"workdir: {tmp_path}")).document
    assert (job.argv, job.id, job.workdir) == (("python", "x.py", "--n", "3"), "r1", str(tmp_path))
    assert (job.requirements, job.envs, job.tags) == (("torch",), {"A": "b"}, {"team": "ml"})
    assert job.placement.runtime == "ray"


def test_json_that_is_none_is_refused_by_its_flag(tmp_path: Path) -> None:
    said = call("ray", "--runtime-env-json", "{", "--", "true", cwd=tmp_path)
    assert said.returncode == 2
    assert "--runtime-env-json: is not JSON" in said.stderr


def test_a_job_file_may_come_from_standard_input(tmp_path: Path) -> None:
    code = "import json, sys; from broker.cli.options import document_of; print(json.dumps(document_of(['-'], {})))"
    piped = subprocess.run(
        [sys.executable, "-c", code], input="run: echo hi\nname: piped\n", capture_output=True, text=True, check=True
    )
    assert json.loads(piped.stdout)["name"] == "piped"
