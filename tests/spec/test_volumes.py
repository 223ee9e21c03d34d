"""Volumes of a job, as different tools write them, and what can't be."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


PATHS = st.lists(
    st.sampled_from(["", "/", "~/"]).flatmap(
        lambda start: st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(lambda parts: start + "/".join(parts))
    ),
    max_size=4,
    unique=True,
)


@given(volumes=PATHS, mounts=PATHS)
def test_nothing_is_at_the_place_of_a_volume_or_inside_it(volumes: list[str], mounts: list[str]) -> None:
    def place(path: str) -> PurePosixPath:
        return PurePosixPath(path.removeprefix("~/").lstrip("/"))

    others = [(volume, other) for volume in volumes for other in {*volumes, *mounts} if other != volume]
    wrong = {*volumes} & {*mounts} or any(place(other).is_relative_to(place(volume)) for volume, other in others)
    asked = {"run": "x", "volumes": dict.fromkeys(volumes, "v"), "file_mounts": dict.fromkeys(mounts, "/etc")}
    if wrong:
        with pytest.raises(InvalidInput, match=r"inside it|file_mounts, too"):
            from_python(**asked)
    else:
        assert len(from_python(**asked).document.volumes) == len(volumes)


def test_very_many_are_refused_by_their_number() -> None:
    many = {f"/p{n}": "v" for n in range(20_000)}
    with pytest.raises(InvalidInput, match="are 20,001, and 128 are the most of one job"):
        from_python(run="x", volumes={**many, "/p7/x": "v"})
