"""The main job on real input: runs jobs of different shapes and shows where each went, why, and for what price.

`make demo` runs it. It uses nothing but the command line, in a state folder of its own that it removes again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
BROKER = str(Path(sys.executable).with_name("broker"))
JOBS = {
    "long.yaml": "two GPUs for a dozen seconds",
    "short.yaml": "one GPU for a moment, while the cluster is full",
    "patient.yaml": "two GPUs, and it may wait for them",
    "array.yaml": "twenty small tasks",
    "flaky.yaml": "fails the first time and is retried",
    "ray-program.yaml": "a Ray program: only a Ray cluster will do",
}


def say(text: str) -> None:
    """A heading, on its own."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def show(*words: str) -> None:
    """Runs a command as a person would, and shows it."""
    print(f"$ broker {' '.join(words)}", flush=True)
    subprocess.run([BROKER, *words], cwd=HERE, check=False)


def ask(*words: str) -> str:
    """The output of a command."""
    return subprocess.run([BROKER, *words], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()


def submit_all() -> dict[str, str]:
    """Submits the jobs, and says what each is."""
    ids = {}
    for file, what in JOBS.items():
        ids[file] = ask("submit", "-d", file)
        print(f"$ broker submit -d {file:18} → {ids[file]}   {what}", flush=True)
    return ids


def report(ids: dict[str, str]) -> bool:
    """Waits for the jobs and shows where they went; whether all succeeded."""
    fine = True
    for file, job in ids.items():
        ended = subprocess.run([BROKER, "wait", job], capture_output=True, text=True, check=False)
        fine = fine and ended.returncode == 0
        print(f"{file:18} {ended.stdout.strip() or ended.stderr.strip()}", flush=True)
    say("Where they went")
    show("list")
    for file in ("short.yaml", "patient.yaml", "ray-program.yaml"):
        say(f"Why {file} ran where it did")
        show("explain", ids[file])
    say("What they wrote")
    for file in ("long.yaml", "flaky.yaml", "ray-program.yaml"):
        show("logs", ids[file])
    return fine


def adds_up() -> bool:
    """Whether the rows of the spend report add up to its total, and to what nodes and containers cost."""
    by_kind = json.loads(ask("spend", "--by", "pool", "--by", "kind", "--json"))
    rows = sum(row["total"]["nanodollars"] for row in by_kind["rows"])
    total = by_kind["total"]["total"]["nanodollars"]
    print(f"{rows:,} nanodollars in the rows, {total:,} in all: {'they agree' if rows == total else 'THEY DIFFER'}")
    return rows == total


def main() -> int:
    """Runs the demonstration; 0 when all jobs succeeded and the money adds up."""
    state = tempfile.mkdtemp(prefix="broker-demo-")
    os.environ |= {"BROKER_STATE_DIR": state, "BROKER_CONFIG": str(HERE / "demo.toml")}
    try:
        say("Starting a broker with a Ray cluster and a serverless pool on this machine")
        show("up")
        show("pools")
        say("Submitting jobs of different shapes")
        ids = submit_all()
        say("Waiting for them")
        fine = report(ids)
        say("What it cost")
        show("spend", "--by", "pool", "--by", "kind")
        fine = adds_up() and fine
        return 0 if fine else 1
    finally:
        say("Ending the broker and all that it started")
        show("down", "--now")
        shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
