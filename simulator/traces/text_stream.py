"""A file or standard input, compressed or not → text that is read as it is needed, with progress on a terminal."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO, cast

from broker.model.errors import InvalidInput, Problem

GZIP = b"\x1f\x8b"
BUFFER = 1 << 16
HEAD = 4_000  # bytes by which a format is recognised
WORTH_SHOWING = 16 << 20  # bytes of a file whose reading takes long enough to be watched
Opened = tuple[TextIO, str, str]


@contextmanager
def opened(source: str) -> Iterator[Opened]:
    """The text, its beginning (still to be read), and its name. Raises `InvalidInput` where it can't be read."""
    if source == "-":
        yield _text(piped().buffer, "standard input")
        return
    try:
        with _watched(source) as raw:
            yield _text(raw, source)
    except OSError as error:
        raise InvalidInput(Problem(file=source, message=str(error.strerror or error))) from None


def piped() -> Any:
    """Standard input. Raises `InvalidInput` where it is a terminal, which would be waited for without a word."""
    if sys.stdin.isatty():
        raise InvalidInput("no trace was given: name a file, or pipe one in, such as `broker trace synth` makes")
    return sys.stdin


@contextmanager
def _watched(path: str) -> Iterator[BinaryIO]:
    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        if not sys.stderr.isatty() or size < WORTH_SHOWING:
            yield raw
            return
        from rich.console import Console
        from rich.progress import wrap_file

        with wrap_file(raw, size, description="reading", console=Console(stderr=True), transient=True) as watched:
            yield watched


def _text(raw: BinaryIO, name: str) -> Opened:
    compressed: Any = io.BufferedReader(cast(io.RawIOBase, raw), BUFFER)
    buffered: Any = compressed
    if compressed.peek(len(GZIP))[: len(GZIP)] == GZIP:
        buffered = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=compressed)), BUFFER)
    head = buffered.peek(HEAD)[:HEAD].decode("utf-8", errors="replace")
    return io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="replace"), head, name
