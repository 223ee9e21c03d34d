"""The tutorial, done as it says: every command succeeds, and says what the page shows, whatever its numbers are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d[\d.,]*")
DONE = "-- done: "


def steps() -> list[tuple[str, list[str]]]:
    """Each command with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return [step for step in found if not step[0].startswith(("make ", "export "))]


@pytest.mark.timeout(240)
def test_it_can_be_done(tmp_path: Path) -> None:
    commands = [command for command, _ in steps()]
    script = "\n".join(f"{command} 2>&1\necho {DONE}{number}" for number, command in enumerate(commands))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BROKER_CONFIG": str(ROOT / "examples" / "demo.toml"),
        "BROKER_STATE_DIR": str(tmp_path / "state"),
    }
    call = ["bash", "-e", "-o", "pipefail", "-c", script]
    try:
        run = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["broker", "down", "--now"], env=environment, capture_output=True, check=False)
    said = re.split(rf"{DONE}\d+\n", run.stdout)
    assert run.returncode == 0, f"{commands[len(said) - 1]} failed:\n{said[-1]}{run.stderr}"
    for (command, shown), output in zip(steps(), said, strict=False):
        there = {NUMBER.sub("#", line) for line in output.splitlines()}
        for line in shown:
            assert NUMBER.sub("#", line) in there, f"{command} does not say {line!r} but:\n{output}"
