"""What the code imports is declared, and what is declared is pinned."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain

import pytest

from tests.architecture.imports import ROOT, imported_by, modules_under

PACKAGES = ("broker", "executors", "pricing", "simulator")


def distribution(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_pins_are_names_and_versions_only(pins: list[str]) -> None:
    assert not [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+!]*", line)]
    assert pins == sorted(set(pins), key=lambda line: line.split("==")[0])


def test_every_dependency_is_pinned(project: dict, pins: list[str]) -> None:
    asked = chain(project["dependencies"], *project["optional-dependencies"].values())
    assert not {distribution(each) for each in asked} - {line.split("==")[0] for line in pins}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package: str, project: dict) -> None:
    """Not only installed because something else needs it today. A plugin's library is in an extra, never in dev."""
    extras = [needs for name, needs in project["optional-dependencies"].items() if name != "dev"]
    declared = {distribution(each) for each in chain(project["dependencies"], *extras)}
    providers = packages_distributions()
    for path in modules_under(package):
        outside = {name.split(".")[0] for name in imported_by(path)} - sys.stdlib_module_names - set(PACKAGES)
        missing = {name for name in outside if not {normal(each) for each in providers.get(name, [name])} & declared}
        assert not missing, f"{path.relative_to(ROOT)} imports {sorted(missing)}: declare them in pyproject.toml"
