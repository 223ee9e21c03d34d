"""Jobs that run at points in time → sample paths of what they will hold, from what was known at each of these times."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from broker.decide.compiled import compiled
from broker.decide.forecast.survival import (
    BINS,
    SHRINK,
    SIZES,
    age_bin,
    groups,
    hazards,
    log_survival,
    pooled,
    remaining,
)
from broker.decide.workload import Floats, Workload

PATHS = 64
TOGETHER_S = 600.0  # jobs alike that came within this of each other end alike: sweeps, and the nodes of one job
RECENT_S = 5 * 86_400.0  # the age at which a job counts half for how such jobs last lately

Ints = npt.NDArray[np.int64]
Rows = tuple[Ints, Ints]  # of each job: its size, and its user and size
Jobs = tuple[Floats, Floats, npt.NDArray[np.bool_], Floats]  # submit_s, end_s, ended, gpus

_ALL, _BY_SIZE, _LATELY, _BY_USER = 0, 1, 1 + SIZES, 1 + 2 * SIZES


def survivors(workload: Workload, starts_s: Floats, slot_s: float, slots: int, rng: np.random.Generator) -> Floats:
    """GPUs held in each slot after each start by jobs that ran at the start: an array (starts, PATHS, slots).

    A start knows which jobs had been submitted before it, and which had ended by then; nothing else. A job that is lost
    from view before its end counts as running until then, and as one that lasted longer.
    """
    until_s = max(float(starts_s[-1]), float(workload.end_s.max(initial=0.0))) if len(starts_s) else 0.0
    lost = ~workload.ended & (workload.end_s < until_s)
    ends = np.where(workload.ended | lost, workload.end_s, np.inf)
    order = np.argsort(ends, kind="stable")
    jobs = (workload.submit_s, ends, workload.ended, workload.gpus)
    return _survivors(jobs, groups(workload), order, starts_s, slot_s, slots, rng)


@compiled
def _survivors(
    jobs: Jobs, rows: Rows, by_end: Ints, starts: Floats, slot_s: float, slots: int, rng: np.random.Generator
) -> Floats:
    submit, end, ended, _ = jobs
    out = np.zeros((len(starts), PATHS, slots))
    over, lost = np.zeros((2, _BY_USER + rows[1].max() + 1 if len(submit) else _BY_USER, BINS))
    done = 0
    for i in range(len(starts)):
        now = starts[i]
        if i:
            for table in (over, lost):
                table[_LATELY:_BY_USER] *= 0.5 ** ((now - starts[i - 1]) / RECENT_S)
        while done < len(end) and end[by_end[done]] <= now:
            j = by_end[done]
            _count(over if ended[j] else lost, rows, j, end[j] - submit[j], now - submit[j])
            done += 1
        running = lost.copy()
        seen = np.searchsorted(submit, now)
        for j in range(seen):
            if end[j] > now:
                _count(running, rows, j, now - submit[j], now - submit[j])
        _draw(jobs, rows, over, running, seen, now, slot_s, out[i], rng)
    return out


@compiled
def _count(table: Floats, rows: Rows, job: int, lasted_s: float, since_s: float) -> None:
    """Counts a job in its groups, by how long it has lasted."""
    b = age_bin(lasted_s)
    size, user = rows[0][job], rows[1][job]
    table[_ALL, b] += 1
    table[_BY_SIZE + size, b] += 1
    table[_LATELY + size, b] += 0.5 ** (since_s / RECENT_S)
    table[_BY_USER + user, b] += 1


@compiled
def _draw(
    jobs: Jobs,
    rows: Rows,
    over: Floats,
    running: Floats,
    seen: int,
    now: float,
    slot_s: float,
    out: Floats,
    rng: np.random.Generator,
) -> None:
    """Draws the ends of the jobs that run now, path by path, and adds up what they hold."""
    submit, end, _, gpus = jobs
    curves = np.zeros((len(over) - _BY_USER, BINS + 1))
    known = np.zeros(len(curves), np.bool_)
    changes = np.zeros((PATHS, out.shape[1] + 1))
    everything = pooled(over[_ALL], running[_ALL])
    share, last_submit, last_gpus = np.zeros(PATHS), -np.inf, -1.0
    for j in range(seen):
        if end[j] <= now:
            continue
        if submit[j] - last_submit > TOGETHER_S or gpus[j] != last_gpus:
            # One from each equal part of the distribution, in random order: paths differ, their mean hardly errs.
            share = (rng.permutation(PATHS) + rng.random(PATHS)) / PATHS
        last_submit, last_gpus = submit[j], gpus[j]
        size, user = rows[0][j], rows[1][j]
        if not known[user]:
            known[user] = True
            hazard = hazards(over[_BY_SIZE + size], running[_BY_SIZE + size], everything, SHRINK)
            hazard = hazards(over[_LATELY + size], running[_LATELY + size], hazard, SHRINK)
            hazard = hazards(over[_BY_USER + user], running[_BY_USER + user], hazard, SHRINK)
            curves[user] = log_survival(hazard)
        for p in range(PATHS):
            left = remaining(curves[user], now - submit[j], math.log(max(share[p], 1e-12))) / slot_s
            _hold(changes[p], left, gpus[j])
    for p in range(PATHS):
        out[p] = np.cumsum(changes[p])[:-1]


@compiled
def _hold(changes: Floats, slots: float, gpus: float) -> None:
    """Adds GPUs that are held from the start for so many slots, as changes from slot to slot."""
    changes[0] += gpus
    whole = int(min(slots, len(changes) - 1.0))
    if whole < len(changes) - 1:
        part = slots - whole
        changes[whole] -= gpus * (1 - part)
        changes[whole + 1] -= gpus * part
