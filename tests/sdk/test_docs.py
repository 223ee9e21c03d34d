"""What docs/python.md says exists, exists."""

import re
from pathlib import Path

import broker

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_every_block_is_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "docs/python.md", "exec")


def test_every_name_exists() -> None:
    assert set(re.findall(r"\bbroker\.(\w+)", PAGE)) <= set(broker.__all__)
    named = set(re.findall(r"\bjob\.(\w+)", PAGE))
    public = {name for name in vars(broker.Job) if not name.startswith("_")} | {"id"}
    assert named - public == set()
    assert public - named == {"submitted_at"}
