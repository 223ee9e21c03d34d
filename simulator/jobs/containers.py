"""Serverless containers: one for each job at a time, warm for the next job of its size for a while after.

Of the idle containers of a size, the one that became idle last lies on top and is used first. So where the top one has
ended, all have.
"""

from __future__ import annotations

import math

from simulator.jobs.events import FREED, push
from simulator.jobs.native import inlined, place
from simulator.jobs.state import NONE, ROUNDING, SERVERLESS, Tables, World


@inlined
def start(world: World, tables: Tables, now: float, row: int) -> None:
    """Starts a job in a warm container, or in a new one."""
    job, sums, terms = tables.rows[row], world.sums[0], world.terms
    size = world.shapes[job.shape]
    top, cold_s = size.warm, 0.0
    if top != NONE and tables.containers[top].idle_since_s + terms.scaledown_window_s < now:
        end_all(world, tables, job.shape)
        top = size.warm
    if top == NONE:
        top, cold_s = _new(world, tables, now), terms.cold_start_s
        sums.cold_starts += 1
        sums.cold_gpu_s += cold_s * size.gpus
    else:
        size.warm = tables.containers[top].below
        sums.tail_gpu_s += (now - tables.containers[top].idle_since_s) * size.gpus
    sums.run_gpu_s += job.work_s * size.gpus
    sums.on_serverless += 1
    job.container, job.node = top, SERVERLESS
    job.started_s, job.waited_s = now + cold_s, now + cold_s - job.submit_s - job.done_s
    job.due += 1
    push(world, tables, now + cold_s + job.work_s, FREED, row)


@inlined
def _new(world: World, tables: Tables, now: float) -> int:
    sums = world.sums[0]
    found: int = sums.free_container
    if found == NONE:
        found = sums.containers
        sums.containers += 1
    else:
        sums.free_container = tables.containers[found].below
    tables.containers[found].born_s = now
    return found


@inlined
def leave(world: World, tables: Tables, now: float, row: int) -> None:
    """A job has ended: its container stays warm."""
    job = tables.rows[row]
    size, container = world.shapes[job.shape], tables.containers[job.container]
    container.idle_since_s, container.below = now, size.warm
    size.warm = job.container


@inlined
def end_all(world: World, tables: Tables, shape: int) -> None:
    """Ends all idle containers of a shape: each is paid for to the end of its window, in whole units of billing."""
    sums, terms, size = world.sums[0], world.terms, world.shapes[shape]
    at = size.warm
    while at != NONE:
        container = tables.containers[at]
        lived_s = container.idle_since_s + terms.scaledown_window_s - container.born_s
        units = math.ceil(max(lived_s, terms.container_minimum_s) / terms.container_billing_s - ROUNDING)
        sums.tail_gpu_s += terms.scaledown_window_s * size.gpus
        sums.rounding_gpu_s += max(units * terms.container_billing_s - lived_s, 0.0) * size.gpus
        below = container.below
        container.below = sums.free_container
        sums.free_container = at
        at = below
    size.warm = place(NONE)
