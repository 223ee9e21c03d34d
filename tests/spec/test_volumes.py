"""Volumes of a job, as different tools write them, and what can't be."""

import pytest

from broker.model.errors import InvalidInput
from broker.spec.build import dump, load, to_spec
from broker.spec.read import from_flags, from_python, read_yaml


@pytest.mark.parametrize(
    "written", ["{/data: sets, out: runs}", "['sets:/data', 'runs:out']", "['/data=sets', 'out=runs']"]
)
def test_they_are_read_as_others_write_them(written: str) -> None:
    document = read_yaml(f"run: x\nvolumes: {written}\n").document
    assert document.volumes == {"/data": "sets", "out": "runs"}
    assert to_spec(load(dump(document)), 0).volumes == document.volumes


def test_flags_and_python_say_the_same() -> None:
    assert from_flags({"volumes": ["/data=sets"]}, ["true"]).document.volumes == {"/data": "sets"}
    assert from_python(run="x", volumes={"/data": "sets"}).document.volumes == {"/data": "sets"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{../x: sets}", "below the job's working directory"),
        ("{/: sets}", "below the job's working directory"),
        ("{a/../..: sets}", "below the job's working directory"),
        ("{/data: Sets}", "must be the name of a volume"),
        ("{/data: ../sets}", "must be the name of a volume"),
        ("{/data: {name: sets}}", "must be the name of a volume"),
        ("[{name: sets, path: /data}]", "must be a map of paths"),
        ("{/data: sets, data: runs}", "would be inside it"),
        ("{/data: sets, /data/more: runs}", "would be inside it"),
    ],
)
def test_what_can_t_be_is_refused(written: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_yaml(f"run: x\nvolumes: {written}\n")


def test_nothing_else_is_put_into_a_volume(tmp_path) -> None:
    (tmp_path / "file").touch()
    for target in ("/data", "/data/file"):
        text = f"run: x\nvolumes: {{/data: sets}}\nfile_mounts: {{{target}: {tmp_path}/file}}\n"
        with pytest.raises(InvalidInput, match=r"volumes\./data"):
            read_yaml(text)
