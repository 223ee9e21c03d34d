"""Gangs: an order for several nodes → all of them at once or none; the first failure, or a node's loss, ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import ray

from executors.on_machine.order import Order
from executors.ray_cluster.tasks import together

HELD_WITHIN_S = 0.5  # how often nodes that are not held yet are looked at
LOOKED_AT_S = 5.0  # how often those that work are
GRACE_S = 5.0

Report = dict[str, Any]
Ending = Callable[[float], Awaitable[None]]


async def run_gang(order: Order, nodes: list[str], is_cancelled: Callable[[], bool], end: Ending) -> Report:
    """Runs one task on each of these nodes. `end` ends those that run within a time.

    A placement group waits for its nodes for ever, also for one that is gone: so nodes are looked at while it does.
    """
    with together(order, nodes) as group:
        while not await group.there(HELD_WITHIN_S):
            if is_cancelled():
                return {"state": "cancelled", "reason": "cancelled before it ran"}
            if lost := await _lost(nodes):
                return _interrupted(lost)
        ranks = zip(group.tasks(), nodes, strict=True)
        tasks: dict[asyncio.Future[Report], str] = {asyncio.ensure_future(rank): node for rank, node in ranks}
        outcomes = await _gathered(tasks, end)
    bad = [outcome for outcome in outcomes if outcome["state"] != "succeeded"]
    return bad[0] if bad else outcomes[0]


async def _gathered(
    waiting: dict[asyncio.Future[Report], str], end: Callable[[float], Awaitable[None]]
) -> list[Report]:
    """What became of each rank, or of the whole where a node with a rank that runs was lost."""
    outcomes: list[Report] = []
    while waiting:
        done, _ = await asyncio.wait(waiting, timeout=LOOKED_AT_S, return_when=asyncio.FIRST_COMPLETED)
        outcomes += [task.result() for task in done]
        for task in done:
            del waiting[task]
        if not done and (lost := await _lost(waiting.values())):
            return [_interrupted(lost)]
        if waiting and any(outcome["state"] != "succeeded" for outcome in outcomes):
            await end(GRACE_S)
    return outcomes


async def _lost(nodes: Collection[str]) -> set[str]:
    """Those that are in the cluster no more."""
    known = await asyncio.to_thread(ray.nodes)
    return set(nodes) - {node["NodeID"] for node in known if node["Alive"]}


def _interrupted(lost: set[str]) -> Report:
    return {"state": "interrupted", "reason": f"its Ray node was lost: {', '.join(sorted(lost))}"}
