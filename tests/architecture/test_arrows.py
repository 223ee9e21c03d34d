"""The arrows between packages, as CONTRIBUTING.md draws and pyproject.toml states them, hold in the code."""

import ast
import sys

import pytest
from importlinter import api
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.architecture.imports import ROOT, imported_by, modules_under

OUTSIDE = {
    "executors": {"model", "ports", "testing"},
    "pricing": {"model", "ports", "testing"},
    "simulator": {"model", "ports", "testing", "decide"},
}


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_contracts_are_read() -> None:
    contracts = api.read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    assert {contract["type"] for contract in contracts} == {"forbidden", "independence", "layers"}


def test_model_imports_only_the_standard_library() -> None:
    for path in modules_under("broker/model"):
        strangers = {
            name
            for name in imported_by(path)
            if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("broker.model")
        }
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


@pytest.mark.parametrize("package", OUTSIDE)
def test_others_enter_broker_only_by_its_doors(package: str) -> None:
    for path in modules_under(package):
        doors = {name.split(".")[1] for name in imported_by(path) if name.startswith("broker.")}
        assert doors <= OUTSIDE[package], f"{path.relative_to(ROOT)} enters by {sorted(doors - OUTSIDE[package])}"


EFFECTS = {
    "asyncio", "http", "httpx", "logging", "os", "random", "requests", "secrets", "shutil", "signal", "socket",
    "sqlalchemy", "sqlite3", "structlog", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
READS_THE_CLOCK = {"now", "utcnow", "today", "monotonic", "perf_counter"}


def test_decide_has_no_effects_of_its_own() -> None:
    for path in modules_under("broker/decide"):
        taken = {name for name in imported_by(path) for effect in EFFECTS if f"{name}.".startswith(f"{effect}.")}
        assert not taken, f"{path.relative_to(ROOT)} imports {sorted(taken)}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert called not in READS_THE_CLOCK | {"open", "print"}, (
                    f"{path.relative_to(ROOT)}:{node.lineno} calls {called}()"
                )
