"""The page about job files says what the code does: every field, every other name, every refusal; its examples run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel

from broker.model.errors import InvalidInput
from broker.spec.check import World
from broker.spec.document import JobDocument
from broker.spec.foreign import ALIASES, IGNORED, REFUSED
from broker.spec.read import read_yaml
from broker.spec.schema import job_schema
from broker.spec.yaml_source import yaml_tree

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/job-specification.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if name == "function":
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= fields(field.annotation, f"{name}.")
        else:
            found[f"{prefix}{name}"] = str(field.description)
    return found


def test_every_field_has_its_row() -> None:
    missing = [name for name, about in fields(JobDocument).items() if f"| `{name}` | {about} |" not in PAGE]
    assert not missing


def test_every_other_name_has_its_place() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \|(.*)\|$", PAGE.split("## Other tools' names")[1], flags=re.MULTILINE))
    assert not [alias.name for alias in ALIASES if f"`{alias.name}`" not in rows.get(alias.field, "")]


def test_everything_ignored_or_refused_is_listed() -> None:
    ignored, refused = PAGE.split("\n## Ignored\n")[1].split("\n## Refused\n")
    for known, section in ((IGNORED, ignored), (REFUSED, refused)):
        listed = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*) \|$", section, flags=re.MULTILINE)
        assert listed == [(foreign.name, foreign.tools, foreign.why) for foreign in known]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_of_the_page_are_jobs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    assert read_yaml(block).document.run


def test_the_files_shown_are_the_files_there_are() -> None:
    shown = [block for block in BLOCKS if block.startswith("# examples/")]
    assert len(shown) == 2
    for block in shown:
        first, rest = block.split("\n", 1)
        assert (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8").split("\n", 1)[1] == rest


def test_python_of_the_page_runs() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(code, {})


def test_refusals_of_the_page_are_real() -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in shown.splitlines():
        place, name = re.match(r"job.yaml:(\d+): ([\w.]+): ", line).groups()
        *outer, last = name.split(".")
        value = {"gpus": "10000", "acelerators": "H100", "deadline": "2020-01-01T00:00:00Z"}[last]
        text = "run: x\n" + "\n" * (int(place) - 2 - len(outer))
        text += "".join(f"{key}:\n" for key in outer) + f"{'  ' if outer else ''}{last}: {value}\n"
        with pytest.raises(InvalidInput) as caught:
            read_yaml(text, world=World(now_ns=1_800_000_000 * 10**9, gpu_models=()))
        assert str(caught.value) == line


def test_the_published_schema_is_current() -> None:
    published = (ROOT / "docs/job-schema.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "broker.spec.schema"]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert published == made, "run: python -m broker.spec.schema > docs/job-schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(job_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_schema_accepts_what_the_broker_accepts(path: Path) -> None:
    jsonschema.validate(yaml_tree(path.read_text(encoding="utf-8"), path.name).data, job_schema())
    stored = json.loads(read_yaml(path).document.model_dump_json(exclude_none=True))
    jsonschema.validate(stored, job_schema())


@pytest.mark.parametrize(
    "wrong", [{"acelerators": 1}, {"resources": {"gpuz": 1}}, {"retry": {"often": 1}}, {"priority": 101}, {"envs": 3}]
)
def test_the_schema_refuses_what_the_broker_refuses(wrong: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"run": "x", **wrong}, job_schema())
