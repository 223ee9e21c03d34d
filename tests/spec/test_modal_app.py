"""Modal programs become jobs that call their functions: read without being run, and what is lost is said."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput
from broker.model.jobs import Cause, JobSpec
from broker.model.resources import Gpu
from broker.spec.build import to_spec
from broker.spec.modal_app.constants import Names, NotConstant, constant
from broker.spec.modal_app.functions import Translated, translate

PROGRAM = """
import os
import modal
from modal import Image, Secret

app = modal.App("lab", secrets=[Secret.from_name("hub", required_keys=["HF_TOKEN"])])
HOURS = 2
image = (
    Image.debian_slim(python_version="3.11")
    .apt_install("git")
    .pip_install("numpy", ["pandas>=2"])
    .run_commands("echo one", "echo two")
    .env({"MODE": f"fast-{HOURS}"})
    .add_local_dir("data", remote_path="/data")
)

@app.function(image=image, gpu="H100:2", timeout=HOURS * 60 * 60, cpu=4, memory=(2048, 4096), region="eu",
              retries=modal.Retries(max_retries=4, initial_delay=5.0), nonpreemptible=True, min_containers=1)
def train(lr: float, *, epochs: int = 3):
    print("trained", lr, epochs)

@app.function(gpu=os.environ["GPU"])
def odd(): ...

@app.function(image=Image.from_registry("nvidia/cuda:12.4.0").poetry_install_from_file("p.toml"))
def poetic(): ...

@app.function(block_network=True)
def sealed(): ...

@app.function(volumes={"/bucket": modal.CloudBucketMount("data")})
def bucket(): ...

@app.function(volumes={"/cache": modal.Volume.from_name("cache", create_if_missing=True)})
def cached(): ...

@app.function()
@modal.fastapi_endpoint()
def web(): ...

@app.function(schedule=modal.Cron("0 2 * * *", timezone="Europe/Berlin"))
def nightly(): ...

@app.cls(gpu=["H100", "A100-80GB"])
class Model:
    @modal.enter()
    def start(self):
        self.answer = 42

    @modal.method()
    def predict(self, n: int = 1):
        print("predicted", self.answer + n)

@app.cls()
class Sized:
    size: int = modal.parameter()

    @modal.method()
    def measure(self): ...

def helper(): ...

@app.local_entrypoint()
def main():
    raise SystemExit("the program was run")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "lab.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def one(path: Path, name: str, **arguments: object) -> Translated:
    [found] = translate(path, name, arguments)
    return found


def spec(found: Translated) -> JobSpec:
    assert found.document, found.problems
    return to_spec(found.document, 0)


def test_all_that_a_function_asks_for_arrives(program: Path) -> None:
    found = one(program, "train", lr=0.1)
    job = spec(found)
    assert job.argv == ("python", "-c", "from lab import train; train.local(lr=0.1)")
    assert job.resources.gpu_choices == (Gpu(model="H100", count=2),)
    assert (job.resources.cpus, job.resources.memory_bytes, job.resources.spot_policy) == (4, 2 * 2**30, "on-demand")
    assert job.system_packages == ("git",)
    assert job.requirements == ("modal", "numpy", "pandas>=2")
    assert (job.setup, job.envs, job.secrets) == ("echo one\necho two", {"MODE": "fast-2"}, ("HF_TOKEN",))
    assert (job.max_duration_s, job.regions, job.workdir) == (7_200, ("eu",), str(program.parent))
    assert (job.retry.on, job.retry.max_attempts, job.retry.backoff_s) == (frozenset(Cause), 5, 5)
    assert job.file_mounts == {"data": str(program.parent / "data")}


def test_what_is_lost_is_said_with_its_line(program: Path) -> None:
    notes = {(note.field, note.line) for note in one(program, "train", lr=0.1).notes}
    text = PROGRAM.splitlines()
    lines = {name: next(n for n, line in enumerate(text, 1) if name in line) for name in ("debian_slim", "def train")}
    assert {("secrets", lines["def train"]), ("min_containers", lines["def train"])} <= notes
    assert ("image", lines["debian_slim"]) in notes


def test_modals_own_limit_holds_where_nothing_is_said(program: Path) -> None:
    assert spec(one(program, "Model.predict")).max_duration_s == 300


def test_a_volume_keeps_its_name_and_its_new_place_is_said(program: Path) -> None:
    found = one(program, "cached")
    assert dict(spec(found).volumes) == {"/cache": "cache"}
    assert any("/cache is cache in the job's working directory" in note.message for note in found.notes)


def test_how_to_keep_its_schedule_is_said(program: Path) -> None:
    [note] = [each.message for each in one(program, "nightly").notes if each.field == "schedule"]
    assert 'broker schedule create NAME --cron "0 2 * * *" --timezone Europe/Berlin FILE.yaml' in note


def test_a_method_is_called_on_its_class(program: Path) -> None:
    job = spec(one(program, "Model.predict"))
    assert job.argv[2] == "from lab import Model; Model().predict.local()"
    assert job.resources.gpu_ordered and len(job.resources.gpu_choices) == 2


@pytest.mark.parametrize(
    ("name", "field", "why"),
    [
        ("odd", "gpu", "is worked out when the program runs (os.environ['GPU'])"),
        ("poetic", "image.poetry_install_from_file", "is not translated"),
        ("sealed", "block_network", "no pool closes the network"),
        ("bucket", "volumes", "/bucket: only a modal.Volume.from_name(…) is understood"),
        ("web", "fastapi_endpoint", "services are not run here"),
        ("train", "lr", "give it with --arg lr=VALUE"),
        ("Sized.measure", "size", "has no default in its class"),
    ],
)
def test_what_would_run_otherwise_is_not_translated(program: Path, name: str, field: str, why: str) -> None:
    found = one(program, name)
    assert found.document is None
    assert any(problem.field == field and why in problem.message and problem.line for problem in found.problems)


def test_only_functions_of_the_app_are_found(program: Path) -> None:
    names = [found.name for found in translate(program)]
    assert names == [
        "train",
        "odd",
        "poetic",
        "sealed",
        "bucket",
        "cached",
        "web",
        "nightly",
        "Model.predict",
        "Sized.measure",
    ]


def test_a_name_or_an_argument_that_is_not_there_is_refused(program: Path) -> None:
    with pytest.raises(InvalidInput, match="has no function trane; it has: train, odd"):
        translate(program, "trane")
    with pytest.raises(InvalidInput, match="rate: is an argument of no function"):
        translate(program, None, {"rate": 1})


@pytest.mark.parametrize("name", ["lab.py", "my-lab.py"])
def test_the_job_runs_with_the_real_client_and_without_an_account(program: Path, name: str, tmp_path: Path) -> None:
    renamed = program.rename(program.with_name(name))
    argv = spec(one(renamed, "train", lr=0.5)).argv
    environment = {**os.environ, "HOME": str(tmp_path), "GPU": "any", "MODAL_CONFIG_PATH": str(tmp_path / "none.toml")}
    call = [sys.executable, *argv[1:]]
    run = subprocess.run(call, cwd=program.parent, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "trained 0.5 3\n"


@pytest.mark.parametrize("text", ["def f(:", "\0", "x = " + "(" * 5_000])
def test_what_is_no_program_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"bad\.py"):
        translate(path)


NUMBERS = st.integers(-99, 99) | st.floats(-99, 99) | st.text("ab", max_size=2)
EXPRESSIONS = st.recursive(
    NUMBERS.map(repr) | st.just("name"),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner)
        | st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
def test_a_constant_is_what_python_makes_of_it(text: str) -> None:
    try:
        found = constant(ast.parse(text, mode="eval").body, Names({"name": 7}))
    except NotConstant:
        return
    assert found == eval(text, {"name": 7})


def test_nothing_grows_without_end() -> None:
    with pytest.raises(NotConstant):
        constant(ast.parse("'x' * 10**12", mode="eval").body, Names())
    with pytest.raises(NotConstant):
        constant(ast.parse("[1] * 10**12", mode="eval").body, Names())
