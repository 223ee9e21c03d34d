"""GPUs of this machine: how many an attempt needs → which of them it gets, shared where it needs a part of one."""

from __future__ import annotations

from collections.abc import Iterable

_SMALLEST = 1e-6


class Gpus:
    """What is free of each GPU, by its number."""

    def __init__(self) -> None:
        self._free: dict[int, float] = {}

    def have(self, numbers: Iterable[int]) -> None:
        """These there are from now on; what is held of them stays held."""
        self._free = {number: self._free.get(number, 1.0) for number in numbers}

    def take(self, need: float) -> tuple[int, ...] | None:
        """The GPUs for so many, or for a part of one; None when there are not enough."""
        if not need:
            return ()
        if need < 1:
            fitting = [(free, number) for number, free in self._free.items() if free + _SMALLEST >= need]
            chosen = tuple(number for _, number in sorted(fitting)[:1])  # the fullest that has room
        else:
            whole = [number for number, free in self._free.items() if free + _SMALLEST >= 1]
            chosen = tuple(whole[: round(need)]) if len(whole) >= round(need) else ()
        if not chosen:
            return None
        for number in chosen:
            self._free[number] -= min(need, 1.0)
        return chosen

    def give_back(self, chosen: tuple[int, ...], need: float) -> None:
        """They are free again."""
        for number in chosen:
            if number in self._free:
                self._free[number] = min(self._free[number] + min(need, 1.0), 1.0)
