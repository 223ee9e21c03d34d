"""Places: the working folders of a container's attempts; one that was left empty serves the next.

To remove a folder and make another takes longer than most short commands run.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_AS_MADE: Final = stat.S_IFDIR | 0o700


class Places:
    """Those in the folder of one container, which can write there as it likes: nothing of theirs is trusted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free: list[Path] = []
        self._made = 0

    def take(self) -> Path:
        """An empty one. Raises OSError."""
        if self._free:
            return self._free.pop()
        while True:
            self._made += 1
            place = self._folder / f"work-{self._made}"
            try:
                place.mkdir(mode=0o700)
            except FileExistsError:
                continue  # somebody in the container has made something of that name
            return place

    def leave(self, place: Path) -> bool:
        """Whether it is empty and as it was made, and so is kept for the next; otherwise it is to be removed."""
        try:
            if os.lstat(place).st_mode != _AS_MADE:
                return False
            with os.scandir(place) as left:
                if next(left, None) is not None:
                    return False
        except OSError:
            return False
        self._free.append(place)
        return True
