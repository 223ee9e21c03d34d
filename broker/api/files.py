"""A job that comes over the network, and the folders whose files such jobs may name → what it names beside them.

The broker reads what a job names (`workdir`, `file_mounts`) with its own rights: its keys and other people's jobs are
among what it can read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broker.model.errors import InvalidInput, Problem
from broker.spec.adopt import adopt
from broker.spec.local_paths import named_files
from broker.spec.source import dotted


def check_files(job: Mapping[str, Any], folders: Sequence[Path], place: str = "") -> None:
    """Raises `InvalidInput` where a job names a file of this machine that is in none of these folders."""
    adopted = adopt(job)
    wrong = [
        Problem(field=f"{place}{dotted(adopted.origin(keys))}", message=_refused(path, folders))
        for keys, path in named_files(adopted.data)
        if not _is_within(path, folders)
    ]
    if wrong:
        raise InvalidInput(*wrong)


def _is_within(path: str, folders: Sequence[Path]) -> bool:
    try:
        there = Path(path).expanduser()
        if not there.is_absolute() or "${" in path:
            return False
        there = there.resolve()
        return any(there.is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):
        return False


def _refused(path: str, folders: Sequence[Path]) -> str:
    may = f"only those in {', '.join(map(str, folders))}" if folders else "none"
    return (
        f"{path[:200]} would be a file of the broker's machine: with a token that is not `admin`, a job may name {may} "
        "(limits.files of the configuration); bring files in a volume or an image, or fetch them in `setup`"
    )
