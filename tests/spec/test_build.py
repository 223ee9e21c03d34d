"""A document becomes the value that runs, and JSON that the store can read back in any version."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput, StoreError
from broker.model.jobs import Cause, JobSpec, RetryPolicy
from broker.model.pools import Isolation
from broker.model.resources import Gpu, ResourceRequest
from broker.spec.build import default_name, dump, fingerprint, load, resolve, to_spec
from broker.spec.document import JobDocument
from broker.spec.read import from_flags, from_python, read_yaml
from broker.spec.yaml_output import yaml_text

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW_NS = 1_800_000_000 * 10**9


def test_every_field_arrives() -> None:
    assert to_spec(read_yaml(EXAMPLES / "spec-full.yaml").document, NOW_NS) == JobSpec(
        name="full",
        run="python descend.py --steps 12",
        setup="echo prepared",
        requirements=("numpy>=2",),
        workdir=str(EXAMPLES / "train"),
        file_mounts={"data/README.md": str(EXAMPLES / "../README.md")},
        envs={"MODEL": "small"},
        secrets=("HF_TOKEN",),
        image="python:3.11-slim",
        resources=ResourceRequest(
            gpu_choices=(Gpu(model="H100", count=8), Gpu(model="A100-80GB", count=8)),
            gpu_ordered=True,
            cpus=8,
            memory_bytes=32 * 10**9,
            disk_bytes=100 * 10**9,
            max_hourly_cost="40",
        ),
        max_duration_s=21_600,
        retry=RetryPolicy(on=frozenset(Cause), max_attempts=5, backoff_s=10, max_backoff_s=300, within_s=86_400),
        deadline_ns=NOW_NS + 2 * 86_400 * 10**9,
        max_wait_s=1_800,
        est_runtime_s=7_200,
        max_cost_usd="100",
        array_size=4,
        matrix={"LR": ("0.1", "0.01")},
        tags={"team": "research"},
        priority=60,
        client_id="full-2030-01",
        pools_allowed=("ray", "serverless/eu"),
        pools_denied=("spot",),
        regions=("eu",),
        isolation=Isolation.DEDICATED,
    )


def test_a_file_is_written_as_a_person_would_have_written_it(tmp_path: Path) -> None:
    text = yaml_text(read_yaml(EXAMPLES / "spec-full.yaml").document, EXAMPLES)
    for line in ("max_duration: 6h", "workdir: train", "  cpus: 8", "  backoff: 10s", "deadline: +172800s"):
        assert line in text.splitlines()
    (tmp_path / "job.yaml").write_text(yaml_text(read_yaml(EXAMPLES / "spec-full.yaml").document, tmp_path))
    assert read_yaml(tmp_path / "job.yaml").document == read_yaml(EXAMPLES / "spec-full.yaml").document


def test_what_is_not_said_is_the_models_default() -> None:
    assert to_spec(from_python(run="true", name="n").document, NOW_NS) == JobSpec(name="n", run="true")


def test_a_function() -> None:
    call = {"blob": "a" * 64, "name": "train.<locals>.step", "python": "3.11"}
    spec = to_spec(from_python(function=call).document, NOW_NS)
    assert spec.function is not None and spec.function.blob == "a" * 64 and spec.name == "step"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["nvidia-smi"], "nvidia-smi"),
        (["python", "a/train.py", "--x"], "train.py"),
        (["python3", "-c", "print(1)"], "python3"),
        (["python", "-m", "trainer"], "trainer"),
        (["/bin/echo", "hi"], "echo"),
        ("# comment\nset -e\ntorchrun train.py", "train.py"),
        ("echo 'unfinished", "echo"),
        ("$(", "job"),
    ],
)
def test_a_name_from_the_command(command: str | list[str], name: str) -> None:
    fields = {"run": command} if isinstance(command, str) else {"argv": command}
    assert default_name(from_python(**fields).document) == name


def test_contradictions_are_refused_here_too() -> None:
    with pytest.raises(InvalidInput, match="run"):
        to_spec(JobDocument(), NOW_NS)
    late = from_python(run="x", deadline="2020-01-01T00:00:00Z").document
    with pytest.raises(InvalidInput, match="deadline: 2020-01-01T00:00:00Z is in the past"):
        to_spec(late, NOW_NS)


def test_the_order_of_names_means_nothing() -> None:
    one = from_python(run="x", envs={"A": 1, "B": 2}, tags={"x": 1, "y": 2}).document
    other = from_python(tags={"y": 2, "x": 1}, envs={"B": 2, "A": 1}, run="x").document
    assert fingerprint(dump(one)) == fingerprint(dump(other))


def test_a_relative_deadline_is_stored_as_a_time_and_hashed_as_written() -> None:
    document = from_python(run="x", deadline="+6h").document
    first, later = resolve(document, NOW_NS), resolve(document, NOW_NS + 10**9)
    assert first.deadline == "2027-01-15T14:00:00Z" and later.deadline == "2027-01-15T14:00:01Z"
    assert to_spec(load(dump(first)), NOW_NS).deadline_ns == to_spec(document, NOW_NS).deadline_ns
    same = from_flags({"run": "x", "deadline": "+360m"}).document
    assert fingerprint(dump(document)) == fingerprint(dump(same)) != fingerprint(dump(first))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_stored_form_is_read_back(path: Path) -> None:
    document = read_yaml(path).document
    text = dump(document)
    assert load(text) == document
    assert dump(load(text)) == text
    assert json.loads(text)["format"] == 1


FIELDS = st.fixed_dictionaries(
    {"run": st.just("x")},
    optional={
        "name": st.sampled_from(["a", "Zwölf", "a b/c"]),
        "envs": st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.text(max_size=9), max_size=3),
        "memory": st.integers(1, 10_000) | st.from_regex(r"[1-9][0-9]{0,3}(MB|GiB|B)", fullmatch=True),
        "cpus": st.floats(0.01, 4096),
        "max_duration": st.floats(0.001, 10**6),
        "retry": st.fixed_dictionaries({}, optional={"max_attempts": st.integers(1, 100), "duration": st.just("1h")}),
        "max_cost": st.decimals("0.01", 10_000, places=4).map(str),
        "deadline": st.sampled_from(["+1h30m", "+123456.789s", "2031-05-06T07:08:09.123456+02:00"]),
        "matrix": st.dictionaries(st.sampled_from("QRS"), st.lists(st.text(max_size=4), min_size=1, max_size=3)),
        "gpu": st.sampled_from(["H100:8", 2, 0.5, ["L4", "T4:2"], {"A100": 1, "H200": 2}, "24GB.."]),
        "priority": st.integers(0, 100),
    },
)


@given(FIELDS)
def test_any_document_is_stored_and_read_back(fields: dict) -> None:
    try:
        document = from_python(**fields).document
    except InvalidInput as error:
        assert {problem.message.split()[0] for problem in error.problems} <= {"holds", "is"}, "null bytes, or set twice"
        return
    assert load(dump(document)) == document
    assert list(load(dump(document)).matrix) == list(fields.get("matrix", {})), "the last one changes fastest"
    assert dump(load(dump(document))) == dump(document)
    assert read_yaml(yaml_text(document, Path.cwd())).document == document, "the file that is written for it says it"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "colour": "red"}'])
def test_a_damaged_or_newer_form_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        load(text)
