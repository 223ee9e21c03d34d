"""Calls of a function, many in one file: where each begins and ends, so that one is read without the others.

The first eight bytes are how many there are; as many ends follow, counted from the first byte after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

WORD: Final = 8  # bytes of each number, the most significant first


def joined(calls: Sequence[bytes]) -> bytes:
    """The file of these calls."""
    ends = accumulate(len(call) for call in calls)
    return b"".join([_word(len(calls)), *map(_word, ends), *calls])


def count(head: bytes) -> int:
    """How many calls a file has, by its first bytes. Raises ValueError where it can't be one."""
    if len(head) < WORD:
        raise ValueError("is no file of calls: it is too short")
    return _number(head[:WORD])


def checked(head: bytes, size: int) -> int:
    """How many calls a file of this size has, by its numbers. Raises ValueError for what is no such file."""
    number = count(head)
    numbers = (number + 1) * WORD
    if not number or numbers > size or len(head) < numbers:
        raise ValueError("is no file of calls: its numbers say more than it has")
    ends = [_number(head[at : at + WORD]) for at in range(WORD, numbers, WORD)]
    if ends != sorted(ends) or numbers + ends[-1] != size:
        raise ValueError("is no file of calls: its numbers and its size contradict each other")
    return number


def head_size(number: int) -> int:
    """Bytes before the first of so many calls."""
    return (number + 1) * WORD


def ends_at(index: int) -> tuple[int, int]:
    """From where to where a call's two numbers are: where it begins, which is the end of the one before, and ends."""
    return (index * WORD, (index + 2) * WORD)


def span(two: bytes, index: int) -> tuple[int, int]:
    """Where a call begins and ends, after the numbers, by the bytes at `ends_at`; the first begins at 0."""
    return (_number(two[:WORD]) if index else 0), _number(two[WORD:])


def _word(number: int) -> bytes:
    return number.to_bytes(WORD, "big")


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")
