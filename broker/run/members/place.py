"""Folder → its place: a name made once, by which two brokers know that they have the same folder."""

from __future__ import annotations

import secrets
from pathlib import Path


def place_of(folder: Path) -> str:
    """The name of a folder, which is made with it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "place"
    draft = folder / f".place-{secrets.token_hex(4)}"
    draft.write_text(secrets.token_hex(8))
    try:
        file.hardlink_to(draft)  # of two at once, one is the first
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return file.read_text()
