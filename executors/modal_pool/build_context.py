"""A Dockerfile, and what it copies out of its job's workdir → a build context: a folder named by a hash of its content.

Modal's client reads the folder again with each function that has the image: what a user changes meanwhile is not in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from broker.model.environment import copied

DOCKERFILE: Final = "Dockerfile"
CONTEXT: Final = "context"
IGNORED: Final = ".dockerignore"


def build_context(dockerfile: str, workdir: str | None, root: Path) -> Path:
    """The folder below `root` with the Dockerfile and its context. Raises OSError for what is not there."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=root, prefix="draft-") as folder:
        draft = Path(folder, "made")
        (draft / CONTEXT).mkdir(parents=True)
        (draft / DOCKERFILE).write_text(dockerfile, encoding="utf-8")
        if sources := copied(dockerfile):
            _take([*sources, IGNORED], Path(workdir or "/nowhere"), draft / CONTEXT)
        place = root / _digest(draft)
        if not place.exists():
            draft.rename(place)
    return place


def _take(sources: list[str], workdir: Path, to: Path) -> None:
    """Copies files and folders to where they were; links as links, of which Modal takes none that leads out."""
    for source in sources:
        for path in _matching(source, workdir):
            if not path.resolve().is_relative_to(workdir.resolve()):
                raise OSError(f"COPY {source} leaves the job's workdir")
            target = to / path.relative_to(workdir)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(path, target, follow_symlinks=False)


def _matching(source: str, workdir: Path) -> Iterator[Path]:
    """What a source of COPY names, in the way of the shell. Raises FileNotFoundError where that is nothing."""
    name = os.path.normpath(source.lstrip("/") or ".")
    found = sorted(workdir.glob(name)) if set(name) & set("*?[") else [workdir / name]
    if source == IGNORED:
        found = [path for path in found if path.exists()]
    elif not found or not found[0].exists():
        raise FileNotFoundError(2, f"COPY {source}: there is no such file in the job's workdir", str(workdir / name))
    yield from found


def _digest(folder: Path) -> str:
    """A hash of the names, the contents and the executable bits."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(f"{path.relative_to(folder)}\0{os.access(path, os.X_OK)}\0".encode())
        if path.is_symlink():
            total.update(os.fsencode(path.readlink()))
        elif path.is_file():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
