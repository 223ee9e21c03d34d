"""Migrations: one line, in the order of their files, up to the schema that this version writes."""

import re
from pathlib import Path

from broker.run.store.engine import SCHEMA

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "broker/run/migrations/versions").glob("*.py"))


def said(file: Path, name: str) -> str | None:
    found = re.search(rf'^{name} = (?:"(\d+)"|None)$', file.read_text(), re.MULTILINE)
    assert found, f"{file.name} does not say its {name}"
    return found[1]


def test_each_follows_the_one_before() -> None:
    numbers = [file.name.partition("_")[0] for file in FILES]
    assert [said(file, "revision") for file in FILES] == numbers
    assert [said(file, "down_revision") for file in FILES] == [None, *numbers[:-1]]
    assert len(numbers) == len(set(numbers))
    assert numbers[-1] == SCHEMA
