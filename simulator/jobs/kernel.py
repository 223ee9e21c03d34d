"""Jobs one by one, in compiled code: arrivals in order, everything else from one heap of events.

`begin`, then `play` for each part of the workload, then `settle`. Memory beyond the parts grows with what is in flight:
what runs, what waits, and what has not yet outlived its patience.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.jobs import containers, events, nodes, shapes, waiting
from simulator.jobs.events import (
    ABOUT,
    BURST,
    DONE,
    FAIL,
    FREED,
    IDLE,
    KIND_BITS,
    LEVEL,
    LIFE_BITS,
    PLACE,
    READY,
    ROW,
    ROW_BITS,
    STEP,
    push,
)
from simulator.jobs.native import inlined, native, place
from simulator.jobs.state import (
    BIN_SHIFT,
    FOR_EVER_S,
    FREE,
    GANG,
    NONE,
    OFF,
    ONE_BITS,
    OVER,
    RUNNING,
    SERVERLESS,
    SOON,
    UP,
    WAIT_BINS,
    WAITING,
    Ints,
    Jobs,
    Tables,
    World,
)


@inlined
def _row(world: World, tables: Tables) -> int:
    sums = world.sums[0]
    found: int = sums.free_row
    if found == NONE:
        found = sums.rows
        sums.rows += 1
    else:
        sums.free_row = tables.rows[found].next
    tables.rows[found].due = 0
    return found


@inlined
def _forget(world: World, tables: Tables, row: int) -> None:
    """A row whose job is over, and which no event will name, is free."""
    job, sums = tables.rows[row], world.sums[0]
    if job.due == 0 and job.state == OVER:
        job.state, job.next = FREE, sums.free_row
        sums.free_row = row


@inlined
def _on_serverless(world: World, tables: Tables, now: float, row: int) -> None:
    tables.rows[row].state = RUNNING
    world.sums[0].running += 1
    containers.start(world, tables, now, row)


@inlined
def _on_cluster(world: World, tables: Tables, now: float, row: int) -> bool:
    if len(world.nodes) and nodes.start(world, tables, now, row):
        tables.rows[row].state = RUNNING
        world.sums[0].running += 1
        return True
    return False


@inlined
def _wait(world: World, tables: Tables, now: float, row: int) -> None:
    """Lets a job that found no room wait where it may."""
    job, terms = tables.rows[row], world.terms
    size = world.shapes[job.shape]
    patience_s = waiting.patience_s(world, job.number, job.work_s, size.gpus)
    too_large = size.parts > terms.nodes_ever * terms.node_parts
    if patience_s <= 0 or too_large or job.tries >= terms.tries:
        _on_serverless(world, tables, now, row)
        return
    if job.tries:
        waiting.put_back(world, tables, row)
    else:
        waiting.append(world, tables, row)
    if patience_s < math.inf:
        job.due += 1
        events.push_late(world, tables, now + patience_s, ((job.number & ROW) << ROW_BITS) + row)


@inlined
def _arrive(world: World, tables: Tables, submit_s: float, duration_s: float, gpus: float) -> None:
    """Starts a job, or lets it wait."""
    sums, row = world.sums[0], _row(world, tables)
    job = tables.rows[row]
    sums.last_submit_s = submit_s
    job.number, job.submit_s, job.work_s, job.shape = sums.jobs, submit_s, duration_s, shapes.shape_of(world, gpus)
    job.done_s, job.tries = 0.0, 0
    sums.jobs += 1
    if sums.waiting or not _on_cluster(world, tables, submit_s, row):
        _wait(world, tables, submit_s, row)
        if job.state == WAITING and nodes.lacks(world):
            nodes.ask(world, tables, submit_s)
    if sums.running > sums.most_in_flight - sums.waiting:
        sums.most_in_flight = sums.running + sums.waiting


@inlined
def _bin(wait_s: float) -> int:
    """The first bits of a number are its logarithm, nearly."""
    bits = int(np.float64(1.0 + wait_s).view(np.int64)) - ONE_BITS
    return min((bits >> BIN_SHIFT) + (wait_s > 0), WAIT_BINS - 1)


@inlined
def _over(world: World, tables: Tables, now: float, row: int) -> None:
    """A job has done its work."""
    job, sums = tables.rows[row], world.sums[0]
    waited_s = max(job.waited_s, 0.0)
    sums.wait_s += waited_s
    sums.longest_wait_s = max(sums.longest_wait_s, waited_s)
    world.waits[place(_bin(waited_s))] += 1
    if len(world.start_s):
        world.start_s[job.number], world.end_s[job.number] = job.started_s, now
        world.serverless[job.number] = job.node == SERVERLESS
    sums.running -= 1
    job.state = OVER


@inlined
def _done(world: World, tables: Tables, now: float, row: int) -> None:
    """A job on the cluster has done its work, unless it was interrupted."""
    job = tables.rows[row]
    job.due -= 1
    if job.state == RUNNING:
        world.sums[0].busy_gpu_s += job.work_s * world.shapes[job.shape].gpus
        nodes.leave(world, tables, now, row)
        _over(world, tables, now, row)
    _forget(world, tables, row)


@inlined
def _freed(world: World, tables: Tables, now: float, row: int) -> None:
    tables.rows[row].due -= 1
    containers.leave(world, tables, now, row)
    _over(world, tables, now, row)
    _forget(world, tables, row)


@inlined
def _burst(world: World, tables: Tables, now: float, row: int) -> None:
    """The patience of a job is at its end: it runs serverless, unless it has started.

    Of those whose patience ends at one time the first in the queue goes first: it may leave its room to the others.
    """
    job = tables.rows[row]
    job.due -= 1
    if job.state == WAITING:
        waiting.remove(world, tables, row)
        _on_serverless(world, tables, now, row)
    _forget(world, tables, row)


@native
def _interrupt(world: World, tables: Tables, now: float, row: int) -> None:
    """A job's node is gone: what it has done since its last checkpoint is lost, and the rest is yet to be done."""
    old, sums, every_s = tables.rows[row], world.sums[0], world.terms.checkpoint_s
    gpus = world.shapes[old.shape].gpus
    ran_s = min(now - old.started_s, old.work_s)
    kept_s = min(math.floor(ran_s / every_s) * every_s, ran_s) if every_s < math.inf else 0.0
    sums.lost_gpu_s += (ran_s - kept_s) * gpus
    sums.busy_gpu_s += ran_s * gpus
    sums.interrupted += 1
    sums.running -= 1
    nodes.leave(world, tables, now, row)
    old.state = OVER
    again = _row(world, tables)
    job = tables.rows[again]
    job.number, job.submit_s = old.number, old.submit_s
    job.shape = old.shape
    job.work_s, job.done_s, job.tries = old.work_s - kept_s, old.done_s + kept_s, old.tries + 1
    _wait(world, tables, now, again)


@native
def _lose(world: World, tables: Tables, now: float, node: int) -> None:
    """A node is gone, and with it what ran on it."""
    gang = world.gang[node]
    for row in range(int(world.sums[0].rows)):
        job = tables.rows[row]
        if job.state == RUNNING and (job.node == node or (job.node == GANG and row == gang)):
            _interrupt(world, tables, now, row)
    nodes.give_up(world, now, node)


@native
def _level(world: World, tables: Tables, now: float, at: int) -> None:
    """So many spot nodes can be had from now on; of those held beyond, the ones asked for last are taken away."""
    sums, steps = world.sums[0], world.steps
    sums.spot_most = min(steps.spot[at], len(world.nodes) - world.terms.on_demand)
    while sums.spot_held > sums.spot_most:
        last = NONE
        for node in range(world.terms.on_demand, len(world.nodes)):
            if world.nodes[node].state != OFF and (last == NONE or world.nodes[node].life > world.nodes[last].life):
                last = node
        _lose(world, tables, now, last)
    after_s = steps.spot_s[at + 1] - steps.spot_s[at]
    push(world, tables, now + after_s, LEVEL, (at + 1) % len(steps.spot))
    nodes.ask(world, tables, now)


@native
def _step(world: World, tables: Tables, now: float, at: int) -> None:
    """So many nodes are to be held from now on."""
    sums, steps = world.sums[0], world.steps
    sums.least = sums.most = steps.target[at]
    nodes.shrink(world, now)
    if at + 1 < len(steps.target_s):
        push(world, tables, steps.target_s[at + 1], STEP, at + 1)
    nodes.ask(world, tables, now)


@native
def _fail(world: World, tables: Tables, now: float, node: int) -> None:
    _lose(world, tables, now, node)
    nodes.ask(world, tables, now)


@inlined
def _ready(world: World, tables: Tables, now: float, about: int) -> None:
    node, life = about & PLACE, about >> LIFE_BITS
    if world.nodes[node].life == life and world.nodes[node].state != OFF:
        nodes.boot(world, tables, now, node)


@native
def _rarely(world: World, tables: Tables, now: float, kind: int, about: int) -> None:
    """What an event does that is not the end of a job."""
    node, life = about & PLACE, about >> LIFE_BITS
    if kind == LEVEL:
        _level(world, tables, now, about)
    elif kind == STEP:
        _step(world, tables, now, about)
    elif kind == FAIL and world.nodes[node].life == life and world.nodes[node].state == UP:
        _fail(world, tables, now, node)


@inlined
def _advance(world: World, tables: Tables, now: float) -> None:
    """Starts those who wait, first come first served."""
    sums = world.sums[0]
    while sums.waiting:
        row = tables.queue[place(sums.first & (len(tables.queue) - 1))]
        if not _on_cluster(world, tables, now, row):
            break
        waiting.remove(world, tables, row)


@native
def begin(world: World, tables: Tables, now: float) -> None:
    """The nodes that are always held are up, and what is known beforehand is due."""
    sums = world.sums[0]
    sums.free_row, sums.free_container = NONE, NONE
    for at in range(len(world.steps.target_s)):
        if world.steps.target_s[at] <= now:
            sums.least = sums.most = world.steps.target[at]
        else:
            push(world, tables, world.steps.target_s[at], STEP, at)
            break
    for node in range(sums.least):
        sums.lives += 1
        sums.held += 1
        world.nodes[node].asked_s, world.nodes[node].life = now, sums.lives
        nodes.boot(world, tables, now, node)
    if len(world.steps.spot):
        push(world, tables, now, LEVEL, 0)


@inlined
def _fits(world: World, tables: Tables) -> bool:
    """Whether the tables have room for whatever may happen until a job comes, or nodes come or go."""
    sums = world.sums[0]
    due = sums.heap + SOON + 2 * (len(world.nodes) + sums.rows) + 16
    most = (
        max(int(sums.rows), sums.containers + sums.waiting, sums.last - sums.first, sums.later - sums.late)
        + sums.running
        + 2
    )
    fits: bool = (most <= len(tables.rows)) & (due <= len(tables.heap))
    return fits


@native
def play(world: World, tables: Tables, jobs: Jobs, last: bool) -> float:
    """Plays a part of the workload; the last one to the end of the last job. Returns the time of the last event.

    Ends early, to be called again with larger tables, where they are full; and where what waits would wait for ever.
    """
    sums, count = world.sums[0], len(jobs.submit_s)
    now: float = sums.now_s
    while True:
        first_s, at = events.first_s(world), place(sums.arrived)
        if at < count and jobs.submit_s[at] < first_s:
            if not _fits(world, tables):
                break
            now = jobs.submit_s[at]
            sums.arrived += 1
            _arrive(world, tables, now, jobs.duration_s[at], jobs.gpus[at])
            continue
        if at == count and (not last or (sums.running == 0 and sums.waiting == 0)):
            break
        if first_s > sums.last_submit_s + FOR_EVER_S:
            sums.stuck = 1
            break
        late = sums.first_late_s == first_s and events.late_is_first(world, tables)
        code = events.first(world, tables, late)
        kind, about = code >> KIND_BITS, code & ABOUT
        if kind in (READY, LEVEL, STEP, FAIL) and not _fits(world, tables):
            break
        now = first_s
        events.drop_first(world, tables, late)
        if kind == DONE:
            _done(world, tables, now, place(about))
        elif kind == FREED:
            _freed(world, tables, now, place(about))
        elif kind == IDLE:
            nodes.look(world, tables, now, place(about))
        elif kind == BURST:
            _burst(world, tables, now, place(about & ROW))
        elif kind == READY:
            _ready(world, tables, now, about)
        else:
            _rarely(world, tables, now, kind, about)
        if sums.waiting and kind != FREED and kind != IDLE:
            _advance(world, tables, now)
    sums.now_s = now
    return now


@native
def settle(world: World, tables: Tables, now: float, order: Ints) -> None:
    """Pays for nodes still held and containers still warm, shapes in an order that does not depend on the parts."""
    for node in range(len(world.nodes)):
        if world.nodes[node].state != OFF:
            nodes.give_up(world, now, node)
    for at in range(len(order)):
        containers.end_all(world, tables, order[at])
