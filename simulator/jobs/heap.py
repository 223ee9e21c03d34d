"""Events by time: a heap of four below each, in two arrays. Of two at one time the one with the lesser code is first.

Four children lie side by side, and which of them is first is found without a guess: half as many levels as with two.
What is not an event comes after all that are: its time is infinite.

A code is a kind of event and what it is about, so that the same workload always plays the same.
"""

from __future__ import annotations

import math
from typing import Final

from simulator.jobs.native import inlined
from simulator.jobs.state import Tables, World

DONE, FREED, READY, LEVEL, STEP, FAIL, IDLE, BURST = range(8)  # kinds of event
KIND_BITS: Final = 56  # a code is a kind, and in so many bits what it is about
ABOUT: Final = 2**KIND_BITS - 1
LIFE_BITS: Final = 20  # what is about a node is the number of its life, and in so many bits its place
PLACE: Final = 2**LIFE_BITS - 1
ROW_BITS: Final = 28  # what is about a job's patience is the end of its number, and in so many bits its row
ROW: Final = 2**ROW_BITS - 1


@inlined
def push(world: World, tables: Tables, time_s: float, kind: int, about: int) -> None:
    """Puts an event in."""
    sums = world.sums[0]
    at = sums.heap
    sums.heap = at + 1
    _rise(tables, at, time_s, (kind << KIND_BITS) + about)


@inlined
def _rise(tables: Tables, at: int, time_s: float, code: int) -> None:
    """Puts an event into a hole, or as far above it as it belongs."""
    heap_s, heap = tables.heap_s, tables.heap
    while at > 0:
        above = (at - 1) >> 2
        if (heap_s[above] < time_s) | ((heap_s[above] == time_s) & (heap[above] <= code)):
            break
        heap_s[at], heap[at] = heap_s[above], heap[above]
        at = above
    heap_s[at], heap[at] = time_s, code


@inlined
def drop_first(world: World, tables: Tables) -> None:
    """Takes the first event out. The hole goes down to a leaf, and the last event rises from there: few guesses."""
    sums, heap_s, heap = world.sums[0], tables.heap_s, tables.heap
    count = sums.heap - 1
    sums.heap = count
    sums.events += 1
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
    heap_s, heap = tables.heap_s, tables.heap
    sooner: int = (heap_s[other] < heap_s[one]) | ((heap_s[other] == heap_s[one]) & (heap[other] < heap[one]))
    return sooner
