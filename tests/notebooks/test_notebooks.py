"""Each notebook runs top to bottom, on what is made up and on a trace, and is stored clean."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import broker
import simulator
from tests.conftest import WAIT_MS
from tests.sdk.conftest import Served

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLIC = {"IPython.display", "broker", "copy", "pandas", "simulator"}
NAMES = {"broker": set(broker.__all__), "simulator": set(simulator.__all__)}
PAGE = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
SECRET = re.compile(r"(?i)(api[_-]?key|secret|password|token)\s*=\s*[\"'][^\"']+|AKIA[0-9A-Z]{16}|-----BEGIN")
WITHIN_S = 280  # ten seconds of work on a machine of its own
pytestmark = pytest.mark.timeout(WITHIN_S + 20)
each = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook: Path, kind: str) -> list[str]:
    found = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def report(notebook: Path, into: Path, state_dir: Path | None = None) -> str:
    """Runs it as `make notebooks` does, with a state folder of its own where none is said; the report."""
    options = ["--config", str(ROOT / "notebooks" / "reports.json"), "--output-dir", str(into), str(notebook)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "nbconvert", *options],
        cwd=into,
        env=os.environ | {"PLOTLY_RENDERER": "notebook", "BROKER_STATE_DIR": str(state_dir or into / "state")},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return (into / f"{notebook.stem}.html").read_text(encoding="utf-8")


def play(code: str, names: dict[str, Any]) -> None:
    """One cell as a kernel does it, here, where all that it imports is loaded: what stands last is shown."""
    steps = ast.parse(code).body
    last = steps.pop() if isinstance(steps[-1], ast.Expr) else None
    exec(compile(ast.Module(steps, []), code, "exec"), names)
    if last is not None and (shown := eval(compile(ast.Expression(last.value), code, "eval"), names)) is not None:
        assert shown.to_html()


def words(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notebook", [path for path in NOTEBOOKS if "TRACE" in "".join(cells(path, "code"))])
def test_runs_on_a_trace_by_one_variable(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "slurm of ours.csv"
    simulator.synth("training", days=30, gpus=6, seed=3).to_csv(trace, index=False)
    names: dict[str, Any] = {}
    first, *others = cells(notebook, "code")
    changed, count = re.subn(r"TRACE = None", f"TRACE = {str(trace)!r}", first)
    assert count == 1
    for code in (changed, *others):
        play(code, names)


def test_reports_what_the_running_broker_spent(
    served: Served, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_STATE_DIR", str(served.state_dir))
    job = broker.submit("echo hi", gpu="H100", est_runtime="1m")
    served.do(served.house.start(job.id))
    served.do(served.house.end(job.id))
    user = job.wait().details()["user"]
    (notebook,) = (path for path in NOTEBOOKS if path.stem.startswith("3_"))
    changed, count = re.subn(r"RUNNING = False", "RUNNING = True", notebook.read_text(encoding="utf-8"))
    assert count == 1
    into = tmp_path_factory.mktemp("running")
    (into / notebook.name).write_text(changed, encoding="utf-8")
    said = words(report(into / notebook.name, into, served.state_dir))
    assert "was spent" in said
    assert f"Most was spent by {user}" in said
    assert "steady" in said


@each
def test_runs_top_to_bottom_and_is_shown_in_the_documentation(
    notebook: Path, tmp_path: Path, browser, golden_picture
) -> None:
    text = report(notebook, tmp_path)
    assert "Traceback" not in words(text)
    assert not re.search(r"\bnan\b|\binf\b", words(text)), "a number that is none"
    tab = browser.new_page(viewport={"width": 1000, "height": 1400})
    tab.set_default_timeout(WAIT_MS)
    tab.goto((tmp_path / f"{notebook.stem}.html").as_uri())
    tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    golden_picture(tab, f"notebook-{notebook.stem[0]}.png", full_page=False)
    assert f"img/notebook-{notebook.stem[0]}.png" in PAGE
    tab.close()


@each
def test_is_stored_without_outputs(notebook: Path) -> None:
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert found["cells"][0]["cell_type"] == "markdown"
    for cell in found["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count") and not cell["metadata"]
    assert len(notebook.read_bytes()) < 30_000


@each
def test_names_no_place_and_no_secret(notebook: Path) -> None:
    text = "\n".join(cells(notebook, "code") + cells(notebook, "markdown"))
    assert not re.search(r"(?<![\w.<$])/(?:home|root|work|tmp|Users|mnt)\b", text)
    assert not SECRET.search(text)


@each
def test_uses_public_names_only(notebook: Path) -> None:
    for node in ast.walk(ast.parse("\n".join(cells(notebook, "code")))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= PUBLIC
        elif isinstance(node, ast.ImportFrom):
            assert node.module in PUBLIC
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id in NAMES:
                assert node.attr in NAMES[node.value.id]


def test_each_is_described() -> None:
    assert [path.name for path in NOTEBOOKS if f"notebooks/{path.name}" not in PAGE] == []
