"""A workload → how many GPUs are busy in each step of time, exactly integrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from broker.decide.workload import Floats, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Busy GPUs, averaged over each step; step 0 begins at second 0 of the workload."""

    step_s: float
    gpus: Floats

    def __len__(self) -> int:
        return len(self.gpus)


def demand(workload: Workload, step_s: float, until_s: float | None = None) -> Demand:
    """Mean concurrency of each step: the exact integral over it, divided by its length.

    Covers every step in which a job was submitted, and the one after; or the whole steps before `until_s`.
    """
    if until_s is None:
        steps = int(np.ceil(workload.submit_s[-1] / step_s)) + 1 if len(workload) else 0
    else:
        steps = int(until_s // step_s)
    up = _ramp(workload.submit_s / step_s, workload.gpus, steps)
    down = _ramp(workload.end_s / step_s, workload.gpus, steps)
    return Demand(step_s=step_s, gpus=np.maximum(up - down, 0.0))


def _ramp(at: Floats, gpus: Floats, steps: int) -> Floats:
    """What is up in each step when GPUs come up at points in time (in steps) and stay."""
    inside = at < steps
    first = np.floor(at[inside]).astype(np.int64)
    share = first + 1 - at[inside]
    whole = np.cumsum(np.bincount(first + 1, weights=gpus[inside], minlength=steps + 1)[:steps])
    part = np.bincount(first, weights=gpus[inside] * share, minlength=steps)[:steps]
    return np.asarray(whole + part, dtype=np.float64)
