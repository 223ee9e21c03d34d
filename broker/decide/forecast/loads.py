"""A workload and points in time → what was to be expected then: load of the jobs that ran, and of jobs yet to come.

Both are sample paths in GPUs, averaged over equal slots of the time ahead.
Nothing later than a point in time is used for it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from broker.decide.compiled import compiled
from broker.decide.demand import Demand
from broker.decide.forecast.survival import (
    BINS,
    SHRINK,
    age_bin,
    groups,
    hazards,
    log_survival,
    pooled,
    remaining,
)
from broker.decide.workload import Floats, Workload

PATHS = 40
JUST_S = 1e-3  # what happens as a step ends is known as the next one begins
TOGETHER_S = 600.0  # jobs alike that came within this of each other end alike: sweeps, and the nodes of one job

Ints = npt.NDArray[np.int64]


def survivors(workload: Workload, starts_s: Floats, slot_s: float, slots: int) -> Floats:
    """GPUs held in each slot after each start by jobs that ran at the start: an array (starts, PATHS, slots)."""
    size, user = groups(workload)
    ends = np.where(workload.ended, workload.end_s, np.inf)
    order = np.argsort(ends, kind="stable")
    return _survivors(workload.submit_s, ends, workload.gpus, size, user, order, starts_s, (slot_s, slots))


@compiled
def _survivors(
    submit: Floats,
    end: Floats,
    gpus: Floats,
    size: Ints,
    user: Ints,
    by_end: Ints,
    starts: Floats,
    grid: tuple[float, int],
) -> Floats:
    slot_s, slots = grid
    out = np.zeros((len(starts), PATHS, slots))
    np.random.seed(1)
    sizes, users = 8, (user.max() + 1 if len(user) else 1)
    ended = np.zeros((1 + sizes + users, BINS))
    over = 0
    for i in range(len(starts)):
        now = starts[i]
        while over < len(end) and end[by_end[over]] <= now:
            j = by_end[over]
            b = age_bin(end[j] - submit[j])
            for row in (0, 1 + size[j], 1 + sizes + user[j]):
                ended[row, b] += 1
            over += 1
        _follow(submit, end, gpus, size, user, ended, now, slot_s, out[i])
    return out


@compiled
def _follow(
    submit: Floats,
    end: Floats,
    gpus: Floats,
    size: Ints,
    user: Ints,
    ended: Floats,
    now: float,
    slot_s: float,
    out: Floats,
) -> None:
    """Draws the ends of the jobs that run now, path by path, and adds up what they hold."""
    sizes = 8
    count = np.searchsorted(submit, now)
    running = np.zeros(ended.shape)
    for j in range(count):
        if end[j] > now:
            b = age_bin(now - submit[j])
            for row in (0, 1 + size[j], 1 + sizes + user[j]):
                running[row, b] += 1
    all_jobs = pooled(ended[0], running[0])
    share, last_submit, last_gpus = np.random.random(PATHS), -1e18, -1.0
    for j in range(count):
        if end[j] <= now:
            continue
        if submit[j] - last_submit > TOGETHER_S or gpus[j] != last_gpus:
            share = (np.random.permutation(PATHS) + np.random.random(PATHS)) / PATHS
        last_submit, last_gpus = submit[j], gpus[j]
        a, b = 1 + size[j], 1 + sizes + user[j]
        of_size = hazards(ended[a], running[a], all_jobs, SHRINK)
        curve = log_survival(hazards(ended[b], running[b], of_size, SHRINK))
        for p in range(PATHS):
            left = remaining(curve, now - submit[j], math.log(max(share[p], 1e-12))) / slot_s
            for h in range(out.shape[1]):
                out[p, h] += gpus[j] * min(max(left - h, 0.0), 1.0)


@compiled
def arrivals(submit: Floats, end: Floats, gpus: Floats, starts: Floats, slot_s: float, slots: int) -> Floats:
    """GPUs held in each slot after each start by jobs submitted after the start: an array (starts, slots)."""
    out = np.zeros((len(starts), slots))
    for i in range(len(starts)):
        until = starts[i] + slots * slot_s
        for j in range(np.searchsorted(submit, starts[i]), np.searchsorted(submit, until)):
            first, last = submit[j] - starts[i], min(end[j], until) - starts[i]
            for h in range(int(first / slot_s), min(int(last / slot_s) + 1, slots)):
                out[i, h] += gpus[j] * max(min(last / slot_s, h + 1) - max(first / slot_s, h), 0.0)
    return out


def as_jobs(series: Demand) -> Workload:
    """Jobs of one GPU that would give a series of levels, the last to come the first to go.

    A step's level is known when the step is over, so that is when its jobs come and go.
    """
    levels = np.round(series.gpus).astype(np.int64)
    submit, duration, ended = _stack(levels)
    step = series.step_s
    return Workload.of((submit + 1) * step - JUST_S, duration * step, np.ones(len(submit)), ended=ended)


@compiled
def _stack(levels: Ints) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    rises = 0
    for t in range(len(levels)):
        rises += max(levels[t] - (levels[t - 1] if t else 0), 0)
    begun, lasted = np.zeros(rises), np.zeros(rises)
    over = np.zeros(rises, np.bool_)
    stack, height, count = np.zeros(rises, np.int64), 0, 0
    for t in range(len(levels)):
        while height < levels[t]:
            begun[count], stack[height] = t, count
            height, count = height + 1, count + 1
        while height > levels[t]:
            height -= 1
            lasted[stack[height]] = t - begun[stack[height]]
            over[stack[height]] = True
    for k in range(height):
        lasted[stack[k]] = len(levels) - begun[stack[k]]
    return begun, lasted, over
