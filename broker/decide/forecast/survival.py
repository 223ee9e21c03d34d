"""Jobs that ended and jobs that still run → how long those that run will go on: survival given the time elapsed.

The estimator is that of Kaplan and Meier (1958) on bins of age that grow by a quarter of an octave, so that hours and
weeks are told apart with few numbers. Jobs that still run count as at risk up to their age (right-censored). A group
(jobs of one size, of one user and size) is shrunk towards the larger group it belongs to, as if that had been seen in
`SHRINK` jobs; all of it towards a Pareto tail, the usual shape of running times.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from broker.decide.compiled import compiled
from broker.decide.workload import Floats, Workload

BINS = 72
PER_OCTAVE = 4
FIRST_S = 60.0  # ages below this are one bin
SHRINK = 10.0
POOL_SHRINK = 4.0
SIZES = 8  # powers of two of GPUs, the last for all above
PARETO = 0.5  # tail index where nothing is known: the share of jobs older than a that reach 2a is 2**-PARETO

Ints = npt.NDArray[np.int64]


def groups(workload: Workload) -> tuple[Ints, Ints]:
    """For each job the code of its size (powers of two), and of its user and size."""
    size = np.clip(np.floor(np.log2(np.maximum(workload.gpus, 1.0))), 0, SIZES - 1).astype(np.int64)
    pair = size * len(workload.user.names) + workload.user.codes
    return size, np.unique(pair, return_inverse=True)[1].astype(np.int64)


@compiled
def age_bin(age_s: float) -> int:
    """The bin of an age in seconds."""
    if age_s < FIRST_S:
        return 0
    return min(BINS - 1, 1 + int(math.log2(age_s / FIRST_S) * PER_OCTAVE))


@compiled
def hazards(ended: Floats, running: Floats, towards: Floats, weight: float) -> Floats:
    """The chance to end in each bin for those who reach it, from counts by bin, shrunk towards another estimate."""
    out = np.zeros(BINS)
    beyond = 0.0
    for b in range(BINS - 1, -1, -1):
        # A job that still runs in this bin has been at risk in it for about half of it.
        at_risk = beyond + ended[b] + 0.5 * running[b]
        out[b] = (ended[b] + weight * towards[b]) / (at_risk + weight)
        beyond += ended[b] + running[b]
    return out


@compiled
def pooled(ended: Floats, running: Floats) -> Floats:
    """Hazards of all jobs together, shrunk towards a Pareto tail fitted to ages above an hour."""
    first = age_bin(3_600.0)
    prior = 1 - 2.0 ** (-PARETO / PER_OCTAVE)
    at_risk, ends, beyond = 2.0, 2.0 * prior, 0.0
    for b in range(BINS - 1, first - 1, -1):
        at_risk += beyond + ended[b] + 0.5 * running[b]
        ends += ended[b]
        beyond += ended[b] + running[b]
    return hazards(ended, running, np.full(BINS, ends / at_risk), POOL_SHRINK)


@compiled
def log_survival(hazard: Floats) -> Floats:
    """The logarithm of the share of jobs that reach the start of each bin, and the end of the last."""
    out = np.zeros(BINS + 1)
    for b in range(BINS):
        out[b + 1] = out[b] + math.log(max(1 - hazard[b], 1e-6))
    return out


@compiled
def remaining(curve: Floats, age_s: float, log_share: float) -> float:
    """Seconds after which, of jobs of this age, the share whose logarithm is given still runs; 1e9 beyond all bins."""
    target = _at(curve, age_s) + log_share
    b = age_bin(age_s)
    while b < BINS and curve[b + 1] > target:
        b += 1
    if b == BINS:
        return 1e9
    part = (curve[b] - target) / max(curve[b] - curve[b + 1], 1e-12)
    until: float = FIRST_S * part if b == 0 else FIRST_S * 2.0 ** ((b - 1 + part) / PER_OCTAVE)
    return max(until - age_s, 0.0)


@compiled
def _at(curve: Floats, age_s: float) -> float:
    if age_s < FIRST_S:
        return float(curve[1] * age_s / FIRST_S)
    place = min(1 + math.log2(age_s / FIRST_S) * PER_OCTAVE, float(BINS))
    b = min(int(place), BINS - 1)
    return float(curve[b] + (curve[b + 1] - curve[b]) * (place - b))
