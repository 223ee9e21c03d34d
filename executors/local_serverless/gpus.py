"""GPUs of this machine: how many an attempt needs → which of them it gets, shared where it needs a part of one."""

from __future__ import annotations

from pathlib import Path

_SMALLEST = 1e-6


def count_here() -> int:
    """GPUs whose device files are on this machine."""
    return sum(path.name.removeprefix("nvidia").isdigit() for path in Path("/dev").glob("nvidia*"))


class Gpus:
    """What is free of each GPU, by its index."""

    def __init__(self, count: int) -> None:
        self._free = [1.0] * count

    def take(self, need: float) -> tuple[int, ...] | None:
        """The GPUs for so many, or for a part of one; None when there are not enough."""
        if not need:
            return ()
        if need < 1:
            fitting = [(free, index) for index, free in enumerate(self._free) if free + _SMALLEST >= need]
            chosen = tuple(index for _, index in sorted(fitting)[:1])  # the fullest that has room
        else:
            whole = [index for index, free in enumerate(self._free) if free + _SMALLEST >= 1]
            chosen = tuple(whole[: round(need)]) if len(whole) >= round(need) else ()
        if not chosen:
            return None
        for index in chosen:
            self._free[index] -= min(need, 1.0)
        return chosen

    def give_back(self, chosen: tuple[int, ...], need: float) -> None:
        """They are free again."""
        for index in chosen:
            self._free[index] = min(self._free[index] + min(need, 1.0), 1.0)
