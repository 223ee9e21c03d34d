"""The sizes of jobs, each once: what one takes of the cluster, and which container of its size is warm."""

from __future__ import annotations

from typing import Final

import numpy as np

from broker.decide.workload import Floats
from simulator.jobs.native import inlined, native, place
from simulator.jobs.state import NONE, PARTS, SHAPE, Places, Records, World

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)  # multiplicative hashing (Knuth, volume 3, 6.4)
_HIGH: Final = np.uint64(32)
_SLOTS: Final = 16  # for each shape: seldom do two want the same


def of(gpus: Floats, node_parts: int) -> Records:
    """Shapes of so many GPUs each."""
    found = np.zeros(len(gpus), SHAPE)
    found["gpus"], found["parts"] = gpus, np.maximum((gpus * PARTS + 0.5).astype(np.int64), 1)
    nodes = -(-found["parts"] // node_parts)
    gang = found["parts"] > node_parts
    found["nodes"], found["held"] = np.where(gang, nodes, 0), np.where(gang, nodes * node_parts, found["parts"])
    found["warm"] = NONE
    return found


def slots(shapes: Records) -> Places:
    """Where each of them is."""
    found: Places = np.full(1 << (_SLOTS * len(shapes) - 1).bit_length(), NONE, np.uint32)
    _fill(found, shapes)
    return found


@native
def _fill(slots: Places, shapes: Records) -> None:
    for shape in range(len(shapes)):
        at = _slot(shapes[shape].gpus, len(slots))
        while slots[at] != NONE:
            at = place((at + 1) & (len(slots) - 1))
        slots[at] = shape


@inlined
def _slot(gpus: float, slots: int) -> int:
    mixed = (np.uint64(np.float64(gpus).view(np.int64)) * _GOLDEN) >> _HIGH
    return place(int((mixed * np.uint64(slots)) >> _HIGH))


@inlined
def shape_of(world: World, gpus: float) -> int:
    """The place of a size."""
    at = _slot(gpus, len(world.slots))
    while world.shapes[world.slots[at]].gpus != gpus:
        at = place((at + 1) & (len(world.slots) - 1))
    shape: int = world.slots[at]
    return shape
