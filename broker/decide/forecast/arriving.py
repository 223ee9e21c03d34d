"""Jobs and points in time → the load that what was submitted in the block of time after each brought with it."""

from __future__ import annotations

import numpy as np

from broker.decide.compiled import compiled
from broker.decide.workload import Floats


@compiled
def arrivals(
    submit: Floats, end: Floats, gpus: Floats, starts: Floats, block_s: float, slot_s: float, slots: int
) -> Floats:
    """GPUs held in each slot after each start by jobs submitted within `block_s` after it: an array (starts, slots)."""
    changes = np.zeros((len(starts), slots + 2))
    for i in range(len(starts)):
        first = np.searchsorted(submit, starts[i])
        for j in range(first, np.searchsorted(submit, starts[i] + block_s)):
            for at_s, gained in ((submit[j], gpus[j]), (end[j], -gpus[j])):
                slot = (at_s - starts[i]) / slot_s
                if slot < slots:
                    whole = int(slot)
                    part = slot - whole
                    changes[i, whole] += gained * (1 - part)
                    changes[i, whole + 1] += gained * part
    out = np.zeros((len(starts), slots))
    for i in range(len(starts)):
        out[i] = np.cumsum(changes[i])[:slots]
    return np.maximum(out, 0.0)
