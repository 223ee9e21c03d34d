"""What is committed can be cloned, read and installed anywhere: no hosts, no paths of one machine, nothing large."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST_BYTES = 1_000_000
LOCK_FILE = re.compile(r"(^|/)([^/]+\.lock|[^/]*-lock\.(json|yaml)|npm-shrinkwrap\.json)$")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|archive\.ubuntu\.com|proxy\.golang|crates\.io"
    r"|conda\.anaconda|-(?:python|npm|docker)\.pkg\.dev|artifactory\.\w|(?:extra-)?index-url\s*[= ]\s*\S+://"
)
ONE_MACHINE = re.compile(r"(?<![\w.~-])/(?:root/\w|Users/\w|work/(?:main|shared)\b|opt/(?:pypi|wheels)\b)")


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing tells which files are committed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """`file:line` of each line that the pattern matches, in files that are text."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        if b"\0" not in (data := path.read_bytes())
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_names_no_registry_host(committed: list[Path]) -> None:
    assert not found(REGISTRY, committed)


def test_names_no_path_of_one_machine(committed: list[Path]) -> None:
    assert not found(ONE_MACHINE, committed)
    assert not found(re.compile(re.escape(f"{ROOT}/")), committed)


def test_has_no_lock_file(committed: list[Path]) -> None:
    names = [path.relative_to(ROOT).as_posix() for path in committed]
    assert not [name for name in names if LOCK_FILE.search(name)]


def test_has_no_large_file(committed: list[Path]) -> None:
    assert not {path.name: size for path in committed if (size := path.stat().st_size) > LARGEST_BYTES}
