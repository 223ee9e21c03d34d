"""The cluster's nodes: which job gets which, when they are asked for, given up, and taken away."""

from __future__ import annotations

import math

from simulator.jobs import random_draws
from simulator.jobs.events import DONE, FAIL, IDLE, LIFE_BITS, PLACE, READY, push
from simulator.jobs.native import inlined, native, place
from simulator.jobs.state import BOOTING, GANG, NO_ROOM, NONE, NOWHERE, OFF, ROUNDING, UP, Ints, Tables, World


@inlined
def nodes_for(parts: int, node_parts: int) -> int:
    """How many nodes so many parts are."""
    return (parts + node_parts - 1) // node_parts


@inlined
def _best_fit(room: Ints, parts: int) -> int:
    """The fullest node that has room, the first of equals; or NO_ROOM."""
    least, best = parts << LIFE_BITS, NOWHERE
    for node in range(len(room)):
        best = min(best, room[node] if room[node] >= least else NOWHERE)
    return NO_ROOM if best == NOWHERE else best & PLACE


@inlined
def _take_whole(world: World, row: int, count: int) -> bool:
    """Gives a gang as many empty nodes as it needs, or none."""
    room, whole, empty = world.room, world.terms.node_parts << LIFE_BITS, 0
    for node in range(len(room)):
        empty += room[node] >= whole
    if empty < count:
        return False
    for node in range(len(room)):
        if room[node] >= whole:
            room[node], world.gang[node] = node, row
            count -= 1
            if count == 0:
                break
    return True


@inlined
def start(world: World, tables: Tables, now: float, row: int) -> bool:
    """Starts a job on the cluster; False where it does not fit now."""
    job, sums = tables.rows[row], world.sums[0]
    size = world.shapes[job.shape]
    if size.nodes:
        node = GANG
        if not _take_whole(world, row, size.nodes):
            return False
    else:
        node = _best_fit(world.room, size.parts)
        if node == NO_ROOM:
            return False
        world.room[place(node)] -= size.parts << LIFE_BITS
    job.node = node
    job.started_s, job.waited_s = now, now - job.submit_s - job.done_s
    sums.used += size.held
    job.due += 1
    push(world, tables, now + job.work_s, DONE, row)
    return True


@inlined
def idle(world: World, tables: Tables, now: float, node: int) -> None:
    """A node is empty: it is looked at again once it may have been so for long enough."""
    found = world.nodes[node]
    found.idle_since_s = now
    if not found.checked:
        found.checked = 1
        push(world, tables, now + world.terms.node_idle_s, IDLE, node)


@inlined
def leave(world: World, tables: Tables, now: float, row: int) -> None:
    """A job has ended: its GPUs are free again."""
    job, room, whole = tables.rows[row], world.room, world.terms.node_parts << LIFE_BITS
    size = world.shapes[job.shape]
    world.sums[0].used -= size.held
    if size.nodes:
        _disband(world, tables, now, row, size.nodes)
    else:
        node = place(job.node)
        room[node] += size.parts << LIFE_BITS
        if room[node] >= whole:
            idle(world, tables, now, node)


@inlined
def _disband(world: World, tables: Tables, now: float, row: int, count: int) -> None:
    gang, whole = world.gang, world.terms.node_parts << LIFE_BITS
    for node in range(len(gang)):
        if gang[node] == row:
            gang[node], world.room[node] = NONE, whole + node
            idle(world, tables, now, node)
            count -= 1
            if count == 0:
                break


@inlined
def ask_one(world: World, tables: Tables, now: float, node: int) -> None:
    """Asks for a node: it is paid for from now on."""
    found, sums = world.nodes[node], world.sums[0]
    sums.lives += 1
    found.state, found.asked_s, found.life = BOOTING, now, sums.lives
    if node < world.terms.on_demand:
        sums.held += 1
    else:
        sums.spot_held += 1
    push(world, tables, now + world.terms.boot_s, READY, node + (sums.lives << LIFE_BITS))


@inlined
def lacks(world: World) -> bool:
    """Whether nodes are to be asked for: more would be used than are held, or fewer are held than must be."""
    sums = world.sums[0]
    held = sums.held + sums.spot_held
    more = (sums.spot_held < sums.spot_most) | (sums.held < sums.most)
    wanted = (sums.waiting > 0) & more & (sums.queued + sums.used > held * world.terms.node_parts)
    lacking: bool = wanted | (sums.held < sums.least)
    return lacking


@inlined
def ask(world: World, tables: Tables, now: float) -> None:
    """Asks for nodes, spot before others, until all that runs and waits would fit; and for those always held."""
    nodes, sums, spot_first = world.nodes, world.sums[0], world.terms.on_demand
    wanted = nodes_for(sums.queued + sums.used, world.terms.node_parts) if sums.waiting else 0
    for node in range(spot_first, len(nodes)):
        if sums.spot_held < sums.spot_most and sums.held + sums.spot_held < wanted and nodes[node].state == OFF:
            ask_one(world, tables, now, node)
    for node in range(spot_first):
        lacking = sums.held < sums.least or (sums.held < sums.most and sums.held + sums.spot_held < wanted)
        if lacking and nodes[node].state == OFF:
            ask_one(world, tables, now, node)


@inlined
def boot(world: World, tables: Tables, now: float, node: int) -> None:
    """A node is up, until it fails."""
    found, terms = world.nodes[node], world.terms
    found.state = UP
    world.sums[0].boot_gpu_s += (now - found.asked_s) * terms.node_gpus
    if terms.mtbf_s < math.inf:
        lives_s = terms.mtbf_s * random_draws.exponential(terms.seed, random_draws.LIFE, found.life)
        push(world, tables, now + lives_s, FAIL, node + (found.life << LIFE_BITS))
    world.room[node] = (terms.node_parts << LIFE_BITS) + node
    idle(world, tables, now, node)


@inlined
def give_up(world: World, now: float, node: int) -> None:
    """A node is held no more: it is paid for, at least for the minimum, in whole units of billing."""
    found, terms, sums = world.nodes[node], world.terms, world.sums[0]
    held_s = now - found.asked_s
    units = math.ceil(max(held_s, terms.node_minimum_s) / terms.node_billing_s - ROUNDING)
    paid_s = max(units * terms.node_billing_s, held_s)
    sums.node_rounding_gpu_s += (paid_s - held_s) * terms.node_gpus
    if node < terms.on_demand:
        sums.held_gpu_s += paid_s * terms.node_gpus
        sums.held -= 1
    else:
        sums.spot_gpu_s += paid_s * terms.node_gpus
        sums.spot_held -= 1
    found.state, world.gang[node], world.room[node] = OFF, NONE, NO_ROOM


@inlined
def look(world: World, tables: Tables, now: float, node: int) -> None:
    """Gives up a node that has been idle for long enough, where nobody waits and more are held than must be."""
    found, sums, idle_s = world.nodes[node], world.sums[0], world.terms.node_idle_s
    found.checked = 0
    if world.room[node] >= world.terms.node_parts << LIFE_BITS:
        due = found.idle_since_s + idle_s
        if sums.waiting and due <= now:
            due = now + max(idle_s, 1.0)
        if due > now:
            found.checked = 1
            push(world, tables, due, IDLE, node)
        elif node >= world.terms.on_demand or sums.held > sums.least:
            give_up(world, now, node)


@native
def shrink(world: World, now: float) -> None:
    """Gives up idle nodes, the last first, while more are held than must be."""
    nodes, sums = world.nodes, world.sums[0]
    for behind in range(1, world.terms.on_demand + 1):
        node = world.terms.on_demand - behind
        empty = world.room[node] >= world.terms.node_parts << LIFE_BITS
        if sums.held > sums.least and (nodes[node].state == BOOTING or empty):
            give_up(world, now, node)
