"""The `broker` command in this process: a process of its own takes a second or two to import what studies need."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from broker.cli.main import app, main


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a command, as `subprocess.CompletedProcess` has it."""

    returncode: int
    stdout: str
    stderr: str


def broker(
    *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Said:
    """What the command says and its exit code; `env` is laid over this process's variables."""
    out, err, given = _pipe(), _pipe(), _pipe()
    given.buffer.write((stdin or "").encode())
    given.seek(0)
    code = 0
    with ExitStack() as during:
        for change in (
            patch.object(sys, "argv", ["broker", *words]),
            patch.object(sys, "stdin", given),
            patch.dict(os.environ, env or {}),
            patch.object(app, "registered_groups", [*app.registered_groups]),  # those of plugins are added anew
            patch.object(app, "registered_commands", [*app.registered_commands]),
            redirect_stdout(out),
            redirect_stderr(err),
            _folder(cwd),
        ):
            during.enter_context(change)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Said(code, _text(out), _text(err))


def _pipe() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(pipe: io.TextIOWrapper) -> str:
    assert isinstance(pipe.buffer, io.BytesIO)
    return pipe.buffer.getvalue().decode()


@contextmanager
def _folder(path: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path or before)
    try:
        yield
    finally:
        os.chdir(before)
