"""The time → a job's id: eight characters that sort by time, begin with a letter and have none that look alike."""

from __future__ import annotations

from threading import Lock
from typing import Final

from broker.model.money import NS_PER_S

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH_NS: Final = 1_767_225_600 * NS_PER_S  # 2026-01-01
_TICKS_PER_S: Final = 1_024
_FIRST: Final = 1 << 39  # the upper half of eight characters: those that begin with a letter


class Ids:
    """Makes ids, no two the same. Another process may make the same one: the store has the last word."""

    def __init__(self) -> None:
        self._last = 0
        self._turn = Lock()

    def new(self, now_ns: int) -> str:
        """An id that is larger than those before it."""
        with self._turn:
            ticks = (now_ns - _EPOCH_NS) * _TICKS_PER_S // NS_PER_S
            self._last = max(self._last + 1, _FIRST + ticks)
            return _text(self._last)


def _text(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        letters = _ALPHABET[digit] + letters
    return letters
