"""Output: streams of an attempt held to a limit, with a line that says what was dropped."""

from __future__ import annotations

import os
from pathlib import Path

from executors.on_machine.attempt_dir import AttemptDir

_SLACK = 1 << 16


def cut(folder: AttemptDir, limit: int) -> None:
    """Cuts streams that have grown past the limit; what is written later goes on from there."""
    for path in (folder.stdout, folder.stderr):
        if path.stat().st_size > limit + _SLACK:
            os.truncate(path, limit)
            _mark(path).touch()


def close(folder: AttemptDir, limit: int) -> None:
    """Cuts them for good, and says so at their end."""
    for path in (folder.stdout, folder.stderr):
        if path.stat().st_size > limit or _mark(path).exists():
            os.truncate(path, min(limit, path.stat().st_size))
            with path.open("ab") as file:
                file.write(f"\n[broker: output beyond {limit} bytes was dropped]\n".encode())


def _mark(path: Path) -> Path:
    return path.with_suffix(".cut")
