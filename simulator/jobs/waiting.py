"""Jobs in the queue: how long each may wait, who is first, and who is put back."""

from __future__ import annotations

import math

from simulator.jobs import random_draws
from simulator.jobs.native import inlined, native, place
from simulator.jobs.state import NONE, WAITING, Tables, World


@inlined
def patience_s(world: World, number: int, work_s: float, gpus: float) -> float:
    """How long a job may wait for the cluster, by the estimate of its run time."""
    rule, thought_s = world.patience, work_s
    if rule.error > 0:
        thought_s *= math.exp(rule.error * random_draws.normal(world.terms.seed, random_draws.ESTIMATE, number))
    if thought_s < rule.from_s:
        return 0.0
    return rule.constant_s + (rule.per_s + rule.per_gpu_s * gpus) * thought_s


@inlined
def append(world: World, tables: Tables, row: int) -> None:
    """A job is the last of the queue."""
    sums, job = world.sums[0], tables.rows[row]
    job.state, job.place = WAITING, sums.last
    tables.queue[place(sums.last & (len(tables.queue) - 1))] = row
    sums.last += 1
    sums.waiting += 1
    sums.queued += world.shapes[job.shape].held


@native
def put_back(world: World, tables: Tables, row: int) -> None:
    """An interrupted job waits again, before all that were submitted after it."""
    sums, job, mask = world.sums[0], tables.rows[row], len(tables.queue) - 1
    sums.first -= 1
    place = sums.first
    while place + 1 < sums.last:
        behind = tables.queue[(place + 1) & mask]
        if behind != NONE and tables.rows[behind].number > job.number:
            break
        tables.queue[place & mask] = behind
        if behind != NONE:
            tables.rows[behind].place = place
        place += 1
    tables.queue[place & mask] = row
    job.state, job.place = WAITING, place
    sums.waiting += 1
    sums.queued += world.shapes[job.shape].held


@inlined
def remove(world: World, tables: Tables, row: int) -> None:
    """A job waits no more."""
    sums, job, mask = world.sums[0], tables.rows[row], len(tables.queue) - 1
    tables.queue[place(job.place & mask)] = NONE
    sums.waiting -= 1
    sums.queued -= world.shapes[job.shape].held
    while sums.first < sums.last and tables.queue[place(sums.first & mask)] == NONE:
        sums.first += 1
