"""A Dockerfile as a job's image: read beside the job's file, or written in it."""

from pathlib import Path

import pytest

from broker.model.environment import copied, environment_key, image_title
from broker.model.errors import InvalidInput
from broker.spec.build import to_spec
from broker.spec.read import from_mapping, read_yaml

TEXT = "# syntax\nFROM debian:12 AS base\nRUN apt-get update\nFROM base\nCOPY --from=base /etc /etc2\n"


def test_the_text_of_the_file_is_the_job_s(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(TEXT)
    job = tmp_path / "job.yaml"
    job.write_text("run: 'true'\nimage: ./Dockerfile\n")
    first = to_spec(read_yaml(job).document, 0)
    assert first.image == TEXT
    (tmp_path / "Dockerfile").write_text(TEXT + "RUN true\n")
    assert environment_key(to_spec(read_yaml(job).document, 0)) != environment_key(first)
    job.write_text("run: 'true'\nimage: |\n" + "".join(f"  {line}\n" for line in TEXT.splitlines()))
    assert to_spec(read_yaml(job).document, 0).image == TEXT


@pytest.mark.parametrize("name", ["python:3.12", "ghcr.io/us/from:1", "from"])
def test_a_name_is_a_name(name: str) -> None:
    assert to_spec(from_mapping({"run": "true", "image": name}).document, 0).image == name
    assert image_title(name) == f"image {name}"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("FROM debian\nCOPY . /app", "copies ., and files come from the job's workdir: say workdir"),
        ("FROM debian\n  add --chown=me a /a", "say COPY, which takes files"),
        ("FROM debian\nCOPY \\\n a/../../b /a", "leaves the job's workdir"),
        ('FROM debian\nCOPY ["b", "/a"]', "without brackets and quotes"),
        ("FROM debian\nCOPY --chown=me $WHAT /a", "must name its files"),
        ("RUN true\nRUN false", "line"),
        ("FROM debian\n" + "RUN true\n" * 9_000, "at most 65,536 characters"),
        ("./Dockerfile", "send the text of the Dockerfile"),
    ],
)
def test_what_can_not_be_built_is_refused(image: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_mapping({"run": "true", "image": image})


@pytest.mark.parametrize(("text", "said"), [(None, "can't be read"), ("RUN true\n", "it has no FROM")])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "Dockerfile").write_text(text)
    job = tmp_path / "job.yaml"
    job.write_text("run: 'true'\nimage: ./Dockerfile\n")
    with pytest.raises(InvalidInput, match=said) as raised:
        read_yaml(job)
    assert "job.yaml:2: image:" in str(raised.value)


def test_files_of_the_workdir_may_be_copied(tmp_path: Path) -> None:
    text = "FROM debian\nCOPY --chown=me a /b ./c* \\\n# as well\n  d /app/\nCOPY --from=x /e /f\nCOPY <<END /g\nEND\n"
    assert copied(text) == ("a", "/b", "./c*", "d")
    assert to_spec(from_mapping({"run": "true", "image": text, "workdir": str(tmp_path)}).document, 0).image == text


def test_an_address_may_be_added() -> None:
    text = "FROM debian\nADD --checksum=sha256:ab https://example.org/x /x\n"
    assert to_spec(from_mapping({"run": "true", "image": text}).document, 0).image == text
