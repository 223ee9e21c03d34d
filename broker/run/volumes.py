"""What is in volumes that this machine can see: their folders, made, measured and removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from broker.model.errors import Conflict, StoreError
from broker.model.volumes import ON_THIS_MACHINE, Volume

MOST_FILES: Final = 100_000  # that are counted when somebody asks for a size


class Volumes:
    """The folders of volumes."""

    def __init__(self, here: Path) -> None:
        """`here` has those of this machine."""
        self._here = here

    def root(self, place: str) -> str:
        """Where an executor finds volumes of a place."""
        return str(self._here) if place == ON_THIS_MACHINE else place

    def folder(self, volume: Volume) -> Path | None:
        """Where a volume is on this machine; None where it is elsewhere."""
        root = Path(self.root(volume.place))
        return root / volume.name if volume.place == ON_THIS_MACHINE or (root.is_absolute() and root.is_dir()) else None

    def make(self, volume: Volume) -> None:
        """Makes its folder. Raises `Conflict` where there is something already: it may be somebody's data."""
        folder = self.folder(volume)
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(folder.iterdir()):
                raise Conflict(f"{folder} is not empty: move what is in it away, or choose another name")
        except OSError as error:
            raise StoreError(f"the folder {folder} can't be made: {error.strerror or error}") from error

    def remove(self, volume: Volume) -> bool:
        """Removes all that is in it; False where that is not on this machine."""
        folder = self.folder(volume)
        if folder is None:
            return False
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StoreError(f"{folder} can't be removed: {error.strerror or error}: remove it by hand") from error
        return True

    def size_bytes(self, volume: Volume) -> int | None:
        """How much is in it; None where it is elsewhere, or has too many files to count while somebody waits."""
        folder = self.folder(volume)
        if folder is None:
            return None
        size = count = 0
        for root, _, files in os.walk(folder):
            count += len(files)
            if count > MOST_FILES:
                return None
            size += sum(_size(os.path.join(root, name)) for name in files)
        return size


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:  # a job has removed it meanwhile
        return 0
