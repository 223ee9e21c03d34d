"""Code stays in pieces that a stranger can hold in mind: short files, short functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("broker", "executors", "pricing", "simulator")
LONGEST_FILE = 400  # lines
LONGEST_BODY = 60  # lines of a function without its docstring
USUAL_BODY = 20  # what nine functions in ten keep to
USUAL_SHARE = 0.9


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.fixture(scope="module")
def bodies() -> dict[str, int]:
    """Lines of each function's body, docstring aside, by `file:line name`."""
    lengths = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                lengths[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = lines
    return lengths


def test_no_file_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources()
        if "versions" not in path.parts  # a migration is a record, not something to refactor
    }
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE}


def test_no_function_is_long(bodies: dict[str, int]) -> None:
    assert not {name: lines for name, lines in bodies.items() if lines > LONGEST_BODY and "/versions/" not in name}


def test_most_functions_are_short(bodies: dict[str, int]) -> None:
    over = {name: lines for name, lines in bodies.items() if lines > USUAL_BODY}
    assert len(over) <= (1 - USUAL_SHARE) * len(bodies), over
