"""YAML text becomes a tree that knows its lines; what would hurt is refused before it is built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.errors import InvalidInput
from broker.spec.source import MAX_BYTES, decode
from broker.spec.yaml_source import MAX_DEPTH, MAX_NODES, yaml_tree


def refused(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        yaml_tree(text, "job.yaml")
    return str(caught.value)


def test_every_key_knows_its_line() -> None:
    tree = yaml_tree("name: a\n\nresources:\n  cpus: 2\n  any_of:\n    - infra: x\nrun: |\n  one\n  two\n", "job.yaml")
    lines = {keys: place.line for keys, place in tree.places.items()}
    assert lines == {
        (): None,
        ("name",): 1,
        ("resources",): 3,
        ("resources", "cpus"): 4,
        ("resources", "any_of"): 5,
        ("resources", "any_of", 0): 6,
        ("resources", "any_of", 0, "infra"): 6,
        ("run",): 7,
    }


def test_scalars_stay_as_they_were_written() -> None:
    text = "a: 010\nb: 1.10\nc: off\nd: 2030-01-01\ne: 1:30\nf: ~\ng: 'null'\nh:\non: yes\n"
    assert yaml_tree(text, "f").data == {
        "a": "010",
        "b": "1.10",
        "c": "off",
        "d": "2030-01-01",
        "e": "1:30",
        "f": None,
        "g": "null",
        "h": None,
        "on": "yes",
    }


def test_merge_keys_and_aliases() -> None:
    text = "base: &base {cpus: 1, memory: 2}\nresources:\n  <<: *base\n  cpus: 4\n"
    assert yaml_tree(text, "f").data["resources"] == {"cpus": "4", "memory": "2"}


def test_no_text_is_an_empty_map() -> None:
    assert yaml_tree("", "f").data == yaml_tree("# only words\n", "f").data == yaml_tree("---\n", "f").data == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: [", "job.yaml:1: is not YAML: "),
        ("a: b\n\tc: d", "job.yaml:2: is not YAML: "),
        ("just words", "job.yaml:1: must be a map of fields (name: value), not one piece of text"),
        ("- run: x", "job.yaml:1: must be a map of fields (name: value), not a list"),
        ("run: a\nname: n\nrun: b", "job.yaml:3: run: is given twice (first in line 1)"),
        ("run: a\n---\nrun: b", "job.yaml:2: a second document begins here: write one to a file"),
        ("run: !!python/object/apply:os.system [ls]", "the tag tag:yaml.org,2002:python/object/apply:os.system means"),
        ("? [a]\n: b", "job.yaml:1: a key must be text"),
        ("a: *b", "job.yaml:1: "),
        ("a: &a [*a]", "job.yaml:1: *a refers to nothing that ends before it"),
        ("run: a\nb: '\x00'", "job.yaml:2: holds a null byte: it is not a text file"),
        ("run: \x1b[0m", "control character"),
        ("<<: 3", "job.yaml:1: << merges maps only"),
    ],
)
def test_is_refused_with_its_line(text: str, said: str) -> None:
    assert said in refused(text)


def test_every_duplicate_is_named() -> None:
    assert refused("a: 1\na: 2\nb: 1\nb: 2\n").count("is given twice") == 2


def test_deep_nesting_is_refused_not_followed() -> None:
    assert f"is nested deeper than {MAX_DEPTH} levels" in refused("a: " + "[" * 100_000)


def test_aliases_may_not_grow_without_end() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    assert f"holds more than {MAX_NODES:,} values" in refused(bomb)


def test_a_large_file_is_refused() -> None:
    assert f"is larger than {MAX_BYTES:,} bytes" in refused("a: " + "x" * MAX_BYTES)


def test_other_encodings_are_refused_and_a_mark_is_not_text() -> None:
    with pytest.raises(InvalidInput, match=r"job.yaml:2: byte 4 is not UTF-8"):
        decode(b"ab\nc\xff", "job.yaml")
    assert decode(b"\xef\xbb\xbfrun: x", "f") == "run: x"


@given(st.text(max_size=200))
def test_any_text_is_a_tree_or_is_refused(text: str) -> None:
    try:
        assert isinstance(yaml_tree(text, "f").data, dict)
    except InvalidInput as error:
        assert all(problem.file == "f" for problem in error.problems)
