"""Jobs one by one, in compiled code: arrivals in order, everything else from one heap of events.

Times are seconds, amounts are GPUs. An event is (time, kind, which, number, amount), and of two at one time the lesser
comes first, so that the same workload always plays the same. Memory beyond the workload's columns grows with what is in
flight.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from broker.decide.compiled import compiled
from broker.decide.workload import Floats

Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]
Event = tuple[float, int, int, int, float]

OFF, BOOTING, UP = 0, 1, 2  # states of a node
END, READY, IDLE, BURST, DONE = 0, 1, 2, 3, 4  # kinds of event
KEPT: Final = 64  # what may lie unused at the front of a list before it is cut off
ROUNDING: Final = 1e-9


class Terms(NamedTuple):
    """What capacity costs in time, and how it grows."""

    node_gpus: float
    min_nodes: int
    boot_s: float
    node_idle_s: float
    node_minimum_s: float
    cold_start_s: float
    scaledown_window_s: float
    billing_s: float


class Jobs(NamedTuple):
    """The workload's columns, by submission."""

    submit_s: Floats
    duration_s: Floats
    gpus: Floats
    patience_s: Floats
    shape: Ints  # jobs of one shape fit each other's containers


class Job(NamedTuple):
    """A row of them."""

    number: int
    submit_s: float
    duration_s: float
    gpus: float
    patience_s: float
    shape: int


NODE = np.dtype(
    [
        ("state", np.int64),
        ("free", np.float64),
        ("jobs", np.int64),
        ("gang", np.int64),  # the job that holds it whole, or -1
        ("asked_s", np.float64),
        ("idle_since_s", np.float64),
        ("checked", np.int64),  # 1 while a look at its idleness is due
    ]
)
SUMS = np.dtype(
    [
        ("node_gpu_s", np.float64),
        ("serverless_gpu_s", np.float64),
        ("tail_gpu_s", np.float64),
        ("wait_s", np.float64),
        ("longest_wait_s", np.float64),
        ("queued_gpus", np.float64),
        ("cold_starts", np.int64),
        ("on_serverless", np.int64),
        ("running", np.int64),
        ("most_in_flight", np.int64),
        ("held", np.int64),
        ("events", np.int64),
        ("first", np.int64),  # where the queue's head is
        ("base", np.int64),  # how much of the queue was cut off before it
    ]
)


class World(NamedTuple):
    """All that a run changes, but for its lists. Few arrays: each is counted again at each call."""

    nodes: Records
    sums: Records  # one
    terms: Terms
    shapes: Floats  # the GPUs of each shape
    bottom: Ints  # of each shape, the first container that has not expired
    start_s: Floats  # when each job started; empty where nobody asks
    serverless: npt.NDArray[np.bool_]  # whether on serverless


@compiled
def _job(jobs: Jobs, number: int) -> Job:
    return Job(
        number,
        jobs.submit_s[number],
        jobs.duration_s[number],
        jobs.gpus[number],
        jobs.patience_s[number],
        jobs.shape[number],
    )


@compiled
def _push(world: World, heap: list[Event], time_s: float, kind: int, which: int, amount: float) -> None:
    sums = world.sums[0]
    sums.events += 1
    heapq.heappush(heap, (time_s, kind, which, sums.events, amount))


@compiled
def _nodes_for(gpus: float, node_gpus: float) -> int:
    return math.ceil(gpus / node_gpus - ROUNDING)


@compiled
def _best_fit(nodes: Records, gpus: float) -> int:
    """The fullest node that has room, or -1."""
    best, least = -1, np.inf
    for node in range(len(nodes)):
        free = nodes[node].free
        if nodes[node].state == UP and free + ROUNDING >= gpus and free < least:
            best, least = node, free
    return best


@compiled
def _take_whole(nodes: Records, job: int, count: int) -> bool:
    """Gives a gang as many empty nodes as it needs, or none."""
    empty = 0
    for node in range(len(nodes)):
        empty += nodes[node].state == UP and nodes[node].jobs == 0
    if empty < count:
        return False
    for node in range(len(nodes)):
        if count and nodes[node].state == UP and nodes[node].jobs == 0:
            nodes[node].jobs, nodes[node].free, nodes[node].gang = 1, 0.0, job
            count -= 1
    return True


@compiled
def _note(world: World, job: Job, start_s: float, serverless: bool) -> None:
    sums, waited_s = world.sums[0], start_s - job.submit_s
    sums.wait_s += waited_s
    sums.longest_wait_s = max(sums.longest_wait_s, waited_s)
    if len(world.start_s):
        world.start_s[job.number], world.serverless[job.number] = start_s, serverless


@compiled
def _on_cluster(world: World, now: float, job: Job, heap: list[Event]) -> bool:
    """Starts a job on the cluster; False where it does not fit now."""
    node_gpus, ends = world.terms.node_gpus, now + job.duration_s
    if job.gpus > node_gpus + ROUNDING:
        if not _take_whole(world.nodes, job.number, _nodes_for(job.gpus, node_gpus)):
            return False
        _push(world, heap, ends, END, -1, float(job.number))
    else:
        node = _best_fit(world.nodes, job.gpus)
        if node < 0:
            return False
        world.nodes[node].free -= job.gpus
        world.nodes[node].jobs += 1
        _push(world, heap, ends, END, node, job.gpus)
    _note(world, job, now, False)
    world.sums[0].running += 1
    return True


@compiled
def _on_serverless(world: World, now: float, job: Job, heap: list[Event], warm: list[list[float]]) -> None:
    """Starts a job in the container of its shape that became idle last, or in a new one."""
    terms, sums = world.terms, world.sums[0]
    _expire(world, now, job.shape, warm[job.shape])
    cold_s = terms.cold_start_s
    if len(warm[job.shape]) > world.bottom[job.shape]:
        sums.tail_gpu_s += (now - warm[job.shape].pop()) * job.gpus
        cold_s = 0.0
    else:
        sums.cold_starts += 1
    ran_s = cold_s + job.duration_s
    sums.serverless_gpu_s += math.ceil(ran_s / terms.billing_s - ROUNDING) * terms.billing_s * job.gpus
    sums.on_serverless += 1
    sums.running += 1
    _push(world, heap, now + ran_s, DONE, job.shape, 0.0)
    _note(world, job, now + cold_s, True)


@compiled
def _expire(world: World, now: float, shape: int, idle: list[float]) -> None:
    """Ends the containers of a shape whose window has passed; the oldest lie at the bottom."""
    bottom, window_s = world.bottom[shape], world.terms.scaledown_window_s
    while bottom < len(idle) and idle[bottom] + window_s < now:
        world.sums[0].tail_gpu_s += window_s * world.shapes[shape]
        bottom += 1
    if bottom > KEPT and 2 * bottom > len(idle):
        del idle[:bottom]
        bottom = 0
    world.bottom[shape] = bottom


@compiled
def _ask(world: World, now: float, heap: list[Event]) -> None:
    """Asks for nodes until all that runs and waits would fit."""
    nodes, sums, node_gpus = world.nodes, world.sums[0], world.terms.node_gpus
    wanted = sums.queued_gpus
    for node in range(len(nodes)):
        if nodes[node].state == UP:
            wanted += node_gpus - nodes[node].free
    for node in range(len(nodes)):
        if nodes[node].state == OFF and sums.held < _nodes_for(wanted, node_gpus):
            nodes[node].state, nodes[node].asked_s = BOOTING, now
            sums.held += 1
            _push(world, heap, now + world.terms.boot_s, READY, node, 0.0)


@compiled
def _idle(world: World, now: float, node: int, heap: list[Event]) -> None:
    """A node is empty: it is looked at again once it may have been so for long enough."""
    found = world.nodes[node]
    found.free, found.jobs, found.gang, found.idle_since_s = world.terms.node_gpus, 0, -1, now
    if not found.checked:
        found.checked = 1
        _push(world, heap, now + world.terms.node_idle_s, IDLE, node, 0.0)


@compiled
def _release(world: World, now: float, node: int, amount: float, heap: list[Event]) -> None:
    """A job has ended: its GPUs are free again. Of a gang, `amount` is the job."""
    nodes = world.nodes
    if node >= 0:
        nodes[node].free += amount
        nodes[node].jobs -= 1
        if nodes[node].jobs == 0:
            _idle(world, now, node, heap)
        return
    for held in range(len(nodes)):
        if nodes[held].gang == int(amount):
            _idle(world, now, held, heap)


@compiled
def _pay(world: World, now: float, node: int) -> None:
    held_s = max(now - world.nodes[node].asked_s, world.terms.node_minimum_s)
    world.sums[0].node_gpu_s += held_s * world.terms.node_gpus


@compiled
def _look(world: World, now: float, node: int, waiting: bool, heap: list[Event]) -> None:
    """Gives up a node that has been idle for long enough, where nobody waits and more are held than must be."""
    found = world.nodes[node]
    found.checked = 0
    if found.jobs:
        return
    due = found.idle_since_s + world.terms.node_idle_s
    if waiting and due <= now:
        due = now + world.terms.node_idle_s
    if due > now:
        found.checked = 1
        _push(world, heap, due, IDLE, node, 0.0)
    elif world.sums[0].held > world.terms.min_nodes:
        _pay(world, now, node)
        found.state, found.free = OFF, 0.0
        world.sums[0].held -= 1


@compiled
def _needs(job: Job, node_gpus: float) -> float:
    """What it takes of the cluster: a gang takes whole nodes."""
    count = _nodes_for(job.gpus, node_gpus)
    return job.gpus if count == 1 else count * node_gpus


@compiled
def _arrive(world: World, now: float, job: Job, heap: list[Event], warm: list[list[float]], queue: list[int]) -> None:
    """Starts a job, or lets it wait where it may."""
    sums, waiting = world.sums[0], len(queue) - world.sums[0].first
    sums.most_in_flight = max(sums.most_in_flight, sums.running + waiting + 1)
    if waiting == 0 and _on_cluster(world, now, job, heap):
        return
    if job.patience_s <= 0 or _nodes_for(job.gpus, world.terms.node_gpus) > len(world.nodes):
        _on_serverless(world, now, job, heap, warm)
        return
    queue.append(job.number)
    sums.queued_gpus += _needs(job, world.terms.node_gpus)
    if job.patience_s < np.inf:
        _push(world, heap, now + job.patience_s, BURST, sums.base + len(queue) - 1, 0.0)
    _ask(world, now, heap)


@compiled
def _burst(
    world: World, now: float, place: int, jobs: Jobs, heap: list[Event], warm: list[list[float]], queue: list[int]
) -> None:
    """The patience of a job is at its end: it runs serverless, unless it has started."""
    if place >= world.sums[0].first and queue[place] >= 0:
        job = _job(jobs, queue[place])
        queue[place] = -1
        world.sums[0].queued_gpus -= _needs(job, world.terms.node_gpus)
        _on_serverless(world, now, job, heap, warm)


@compiled
def _happen(world: World, event: Event, waiting: bool, heap: list[Event], warm: list[list[float]]) -> None:
    """What an event other than the end of a job's patience changes."""
    now, kind, which, _, amount = event
    if kind == END:
        world.sums[0].running -= 1
        _release(world, now, which, amount, heap)
    elif kind == DONE:
        world.sums[0].running -= 1
        warm[which].append(now)
    elif kind == READY:
        world.nodes[which].state = UP
        _idle(world, now, which, heap)
    elif kind == IDLE:
        _look(world, now, which, waiting, heap)


@compiled
def _advance(world: World, now: float, jobs: Jobs, heap: list[Event], queue: list[int]) -> None:
    """Starts those who wait, first come first served."""
    sums = world.sums[0]
    while sums.first < len(queue):
        if queue[sums.first] >= 0:
            job = _job(jobs, queue[sums.first])
            if not _on_cluster(world, now, job, heap):
                break
            sums.queued_gpus -= _needs(job, world.terms.node_gpus)
        sums.first += 1
    if sums.first > KEPT and 2 * sums.first > len(queue):
        sums.base += sums.first
        del queue[: sums.first]
        sums.first = 0


@compiled
def _settle(world: World, now: float, warm: list[list[float]]) -> None:
    """Pays for nodes still held and containers still warm."""
    for node in range(len(world.nodes)):
        if world.nodes[node].state != OFF:
            _pay(world, now, node)
    for shape in range(len(warm)):
        left = len(warm[shape]) - world.bottom[shape]
        world.sums[0].tail_gpu_s += left * world.terms.scaledown_window_s * world.shapes[shape]


@compiled
def _begin(world: World, now: float) -> None:
    """The nodes that are always held are up."""
    for node in range(world.terms.min_nodes):
        found = world.nodes[node]
        found.state, found.free, found.gang, found.asked_s = UP, world.terms.node_gpus, -1, now
    world.sums[0].held = world.terms.min_nodes


@compiled
def play(world: World, jobs: Jobs) -> float:
    """Plays a workload to the end of its last job, which it returns; the sums and starts are filled in."""
    sums, count, arrived = world.sums[0], len(jobs.submit_s), 0
    now: float = jobs.submit_s[0]
    heap = [(0.0, 0, 0, 0, 0.0) for _ in range(0)]
    warm = [[0.0 for _ in range(0)] for _ in range(len(world.shapes))]
    queue = [0 for _ in range(0)]
    _begin(world, now)
    while arrived < count or sums.running or len(queue) > sums.first:
        if arrived < count and (not heap or jobs.submit_s[arrived] < heap[0][0]):
            now = jobs.submit_s[arrived]
            _arrive(world, now, _job(jobs, arrived), heap, warm, queue)
            arrived += 1
            continue
        event = heapq.heappop(heap)
        now = event[0]
        if event[1] == BURST:
            _burst(world, now, event[2] - sums.base, jobs, heap, warm, queue)
        else:
            _happen(world, event, len(queue) > sums.first, heap, warm)
        if event[1] != IDLE and len(queue) > sums.first:
            _advance(world, now, jobs, heap, queue)
    _settle(world, now, warm)
    return now
