"""Events by time: the next few in order, what comes after them in a heap, and ends of patience in a lane of their own.

Of two at one time the one with the lesser code is first. A code is a kind of event and what it is about, so that the
same workload always plays the same.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from simulator.jobs import heap
from simulator.jobs.native import inlined, native, place
from simulator.jobs.state import SOON, Tables, World

DONE, FREED, READY, LEVEL, STEP, FAIL, IDLE, BURST = range(8)  # kinds of event
KIND_BITS: Final = 56  # a code is a kind, and in so many bits what it is about
ABOUT: Final = 2**KIND_BITS - 1
LIFE_BITS: Final = 20  # what is about a node is the number of its life, and in so many bits its place
PLACE: Final = 2**LIFE_BITS - 1
ROW_BITS: Final = 28  # what is about a job's patience is the end of its number, and in so many bits its row
ROW: Final = 2**ROW_BITS - 1
_HALF: Final = SOON // 2
_ONE: Final = np.uint64(1)


@inlined
def push(world: World, tables: Tables, time_s: float, kind: int, about: int) -> None:
    """Puts an event in."""
    _put(world, tables, time_s, (kind << KIND_BITS) + about)


@inlined
def _put(world: World, tables: Tables, time_s: float, code: int) -> None:
    sums, soon_s, soon = world.sums[0], world.soon_s, world.soon
    if sums.soon == SOON:
        _put_off(world, tables)
    if sums.heap and heap.is_before(tables.heap_s[0], tables.heap[0], time_s, code):
        heap.push(world, tables, time_s, code)
        return
    at = np.uint64(sums.soon)
    sums.soon += 1
    while soon_s[at] < time_s:
        soon_s[at + _ONE], soon[at + _ONE] = soon_s[at], soon[at]
        at -= _ONE
    while (soon_s[at] == time_s) & (soon[at] < code):
        soon_s[at + _ONE], soon[at + _ONE] = soon_s[at], soon[at]
        at -= _ONE
    soon_s[at + _ONE], soon[at + _ONE] = time_s, code


@native
def _put_off(world: World, tables: Tables) -> None:
    """Half of the next, the last of them, go to the others."""
    soon_s, soon = world.soon_s, world.soon
    for at in range(_HALF, 0, -1):
        heap.push(world, tables, soon_s[at], soon[at])
    for at in range(1, SOON - _HALF + 1):
        soon_s[at], soon[at] = soon_s[at + _HALF], soon[at + _HALF]
    world.sums[0].soon = SOON - _HALF


@inlined
def push_late(world: World, tables: Tables, time_s: float, about: int) -> None:
    """Puts an end of patience in: behind the last, if it comes after it."""
    sums, code = world.sums[0], (BURST << KIND_BITS) + about
    if sums.late == sums.later:
        sums.first_late_s = time_s
    elif heap.is_before(time_s, code, sums.last_late_s, sums.last_late):
        _put(world, tables, time_s, code)
        return
    at = place(sums.later & (len(tables.late) - 1))
    tables.late_s[at], tables.late[at] = time_s, code
    sums.last_late_s, sums.last_late = time_s, code
    sums.later += 1


@inlined
def first_s(world: World) -> float:
    """When the next event is; infinite where there is none."""
    sums = world.sums[0]
    time_s: float = min(world.soon_s[sums.soon], sums.first_late_s)
    return time_s


@inlined
def late_is_first(world: World, tables: Tables) -> bool:
    """Whether the next event is an end of patience."""
    sums = world.sums[0]
    at = sums.soon
    late = place(sums.late & (len(tables.late) - 1))
    first: bool = heap.is_before(sums.first_late_s, tables.late[late], world.soon_s[at], world.soon[at])
    return first


@inlined
def first(world: World, tables: Tables, late: bool) -> int:
    """The code of the next event; `late` says whether it is an end of patience."""
    sums = world.sums[0]
    if late:
        code: int = tables.late[place(sums.late & (len(tables.late) - 1))]
        return code
    soon: int = world.soon[sums.soon]
    return soon


@inlined
def drop_first(world: World, tables: Tables, late: bool) -> None:
    """Takes the next event out."""
    sums = world.sums[0]
    sums.events += 1
    if late:
        sums.late += 1
        at = place(sums.late & (len(tables.late) - 1))
        sums.first_late_s = math.inf if sums.late == sums.later else tables.late_s[at]
        return
    sums.soon -= 1
    if sums.soon == 0 and sums.heap:
        _refill(world, tables)


@native
def _refill(world: World, tables: Tables) -> None:
    sums = world.sums[0]
    count = min(sums.heap, _HALF)
    sums.soon = count
    for behind in range(count):
        world.soon_s[count - behind], world.soon[count - behind] = tables.heap_s[0], tables.heap[0]
        heap.drop_first(world, tables)
