"""Where a value can be seen on this machine; what goes away while somebody looks is passed over."""

import os
from contextlib import suppress
from pathlib import Path


def files_with(folder: Path, value: str) -> list[Path]:
    """Files below a folder that have it; sockets and pipes have nothing."""
    found = []
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and value.encode() in path.read_bytes():
                    found.append(path)
    return found


def command_lines() -> bytes:
    """The arguments of all processes."""
    found = b""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += (process / "cmdline").read_bytes()
    return found
