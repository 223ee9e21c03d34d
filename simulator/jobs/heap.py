"""Times and codes in a heap of four below each, in two arrays: of two at one time the lesser code is first.

Four children lie side by side, and which of them is first is found without a guess: half as many levels as with two.
What is not there comes after all that is: its time is infinite.
"""

from __future__ import annotations

import math

from simulator.jobs.native import inlined
from simulator.jobs.state import Tables, World


@inlined
def is_before(one_s: float, one: int, other_s: float, other: int) -> bool:
    """Whether the first of two comes first."""
    before: bool = (one_s < other_s) | ((one_s == other_s) & (one < other))
    return before


@inlined
def push(world: World, tables: Tables, time_s: float, code: int) -> None:
    """Puts one in."""
    sums = world.sums[0]
    at = sums.heap
    sums.heap = at + 1
    _rise(tables, at, time_s, code)


@inlined
def _rise(tables: Tables, at: int, time_s: float, code: int) -> None:
    """Puts one into a hole, or as far above it as it belongs."""
    heap_s, heap = tables.heap_s, tables.heap
    while at > 0:
        above = (at - 1) >> 2
        if not is_before(time_s, code, heap_s[above], heap[above]):
            break
        heap_s[at], heap[at] = heap_s[above], heap[above]
        at = above
    heap_s[at], heap[at] = time_s, code


@inlined
def drop_first(world: World, tables: Tables) -> None:
    """Takes the first out. The hole goes down to a leaf, and the last rises from there: few guesses."""
    sums, heap_s, heap = world.sums[0], tables.heap_s, tables.heap
    count = sums.heap - 1
    sums.heap = count
    time_s, code = heap_s[count], heap[count]
    heap_s[count] = math.inf
    at, below = 0, 1
    while below < count:
        left = below + _second(tables, below, below + 1)
        right = below + 2 + _second(tables, below + 2, below + 3)
        first = left + (right - left) * _second(tables, left, right)
        heap_s[at], heap[at] = heap_s[first], heap[first]
        at, below = first, 4 * first + 1
    _rise(tables, at, time_s, code)


@inlined
def _second(tables: Tables, one: int, other: int) -> int:
    """1 where the second of two is the first to come."""
    sooner: int = is_before(tables.heap_s[other], tables.heap[other], tables.heap_s[one], tables.heap[one])
    return sooner
