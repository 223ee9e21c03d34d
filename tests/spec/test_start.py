"""Reading a job is on the command line's way to its first answer: it may load pydantic and YAML, and nothing heavy."""

import subprocess
import sys

HEAVY = {"numpy", "pandas", "ray", "sqlalchemy", "fastapi", "httpx", "rich", "typer", "jsonschema", "asyncio"}


def test_reading_a_job_loads_nothing_heavy() -> None:
    code = "import sys, broker.spec.read, broker.spec.build, broker.run.settings; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not HEAVY & {name.split(".")[0] for name in loaded.split()}
