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
RECENT_S = 5 * 86_400.0  # the age at which a job counts half for how long such jobs last lately

Ints = npt.NDArray[np.int64]
Rows = tuple[Ints, Ints]  # of each job: its size, and its user and size
Jobs = tuple[Floats, Floats, npt.NDArray[np.bool_], Floats]  # submit_s, end_s, ended, gpus

_ALL, _BY_SIZE, _LATELY, _BY_USER = 0, 1, 1 + SIZES, 1 + 2 * SIZES


def survivors(workload: Workload, starts_s: Floats, slot_s: float, slots: int, rng: np.random.Generator) -> Floats:
    """GPUs held in each slot after each start by jobs that ran at the start: an array (starts, PATHS, slots).

    A start knows which jobs had been submitted before it, and which had ended by then; nothing else.
    """
    out = np.zeros((len(starts_s), PATHS, slots))
    _survivors(_jobs(workload, starts_s), groups(workload), starts_s, slot_s, out, np.zeros(len(workload)), rng)
    return out


def drawn_ends(workload: Workload, now_s: float, rng: np.random.Generator) -> Floats:
    """When each job ends: as known, and for those that run now one draw from how long such jobs last."""
    starts = np.array([now_s])
    jobs = _jobs(workload, starts)
    left = np.zeros(len(workload))
    _survivors(jobs, groups(workload), starts, 1.0, np.zeros((1, PATHS, 0)), left, rng)
    return np.where(np.isfinite(jobs[1]) & (jobs[1] <= now_s), jobs[1], now_s + left)


def last_seen(workload: Workload, now_s: float) -> Floats:
    """When each job ended, or was lost from view; infinite for those of which nothing is known but that they run."""
    return np.where(~workload.ended & (workload.end_s >= now_s), np.inf, workload.end_s)


def _jobs(workload: Workload, starts_s: Floats) -> Jobs:
    """The columns that count. A job that is lost from view before the last start has run until then, at least."""
    end_s = last_seen(workload, float(starts_s[-1]) if len(starts_s) else 0.0)
    return workload.submit_s, end_s, workload.ended, workload.gpus


@compiled
def _survivors(
    jobs: Jobs, rows: Rows, starts: Floats, slot_s: float, out: Floats, left: Floats, rng: np.random.Generator
) -> None:
    submit, end, ended, _ = jobs
    order = np.argsort(end, kind="mergesort")
    over, lost = np.zeros((2, _BY_USER + (rows[1].max() + 1 if len(submit) else 1), BINS))
    done = 0
    for i in range(len(starts)):
        now = starts[i]
        if i:
            for table in (over, lost):
                table[_LATELY:_BY_USER] *= 0.5 ** ((now - starts[i - 1]) / RECENT_S)
        while done < len(end) and end[order[done]] <= now:
            j = order[done]
            _count(over if ended[j] else lost, rows, j, end[j] - submit[j], now - submit[j])
            done += 1
        running = lost.copy()
        seen = np.searchsorted(submit, now)
        for j in range(seen):
            if end[j] > now:
                _count(running, rows, j, now - submit[j], now - submit[j])
        _draw(jobs, rows, over, running, seen, now, slot_s, out[i], left, rng)


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
    left: Floats,
    rng: np.random.Generator,
) -> None:
    """Draws the ends of the jobs that run now, path by path, and adds up what they hold; `left` has the first draw."""
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
            more_s = remaining(curves[user], now - submit[j], math.log(max(share[p], 1e-12)))
            if p == 0:
                left[j] = more_s
            _hold(changes[p], more_s / slot_s, gpus[j])
    for p in range(PATHS):
        out[p] = np.cumsum(changes[p])[:-1]


@compiled
def _hold(changes: Floats, slots: float, gpus: float) -> None:
    """Adds GPUs that are held from the start for so many slots, as changes from slot to slot."""
    last = len(changes) - 1
    changes[0] += gpus
    whole = int(min(slots, float(last)))
    if whole < last:
        part = slots - whole
        changes[whole] -= gpus * (1 - part)
        changes[whole + 1] -= gpus * part
