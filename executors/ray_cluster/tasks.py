"""Tasks: an order and the nodes that are held for it → Ray tasks on exactly these, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from executors.on_machine.attempt_dir import AttemptDir
from executors.on_machine.order import Order
from executors.ray_cluster import runner
from executors.ray_cluster.output_forwarding import OutputForwarder, node_root

NODE_ID_LABEL = "ray.io/node-id"  # a label that Ray gives each node
ANSWERS_WITHIN_S = 60.0

Report = dict[str, Any]


def run_attempt(order: Order, supervisor: Any) -> Report:
    """The task of a place: runs an order on the node that Ray chose, then those that take over its place.

    Returns the end of the last one. To start a task takes longer than to ask what comes next.
    """
    while True:
        outcome = _run(order, supervisor)
        following = _following(order, outcome, supervisor)
        if following is None:
            return outcome
        order = following


def _following(order: Order, outcome: Report, supervisor: Any) -> Order | None:
    """What takes over the place, where the supervisor takes note of this end now. Others than short jobs don't ask."""
    if not order.in_line or outcome["signal"] is not None or outcome["state"] not in ("succeeded", "failed"):
        return None
    asking = supervisor.pass_on.remote(order.attempt_id, outcome)
    following: Order | None = asking.future().result()  # `ray.get` would give our CPUs away meanwhile
    return following


def _run(order: Order, supervisor: Any) -> Report:
    def started(at_ns: int) -> None:
        supervisor.started.remote(order.attempt_id, at_ns)

    def send(what: str, data: bytes) -> float | None:
        notice_s: float | None = ray.get(supervisor.wrote.remote(order.attempt_id, what, data))
        return notice_s

    if not order.carried:
        return runner.run(order, started)
    root = node_root(order.root, ray.get_runtime_context().get_node_id())
    rank = order.rank if order.num_nodes > 1 else None

    def end(grace_s: float) -> None:
        runner.cancel(root, order.attempt_id, rank, grace_s)

    with OutputForwarder(AttemptDir(Path(root) / "attempts" / order.attempt_id, rank), send, end):
        return runner.run(replace(order, root=root), started)


def cancel_attempt(root: str, attempt_id: str, rank: int | None, grace_s: float) -> None:
    """Ends an attempt, or one rank of it, on the node where it runs."""
    runner.cancel(root, attempt_id, rank, grace_s)


def answer() -> None:
    """Shows that a node is there."""


RUN_ATTEMPT: Any = ray.remote(max_retries=0)(run_attempt)
CANCEL_ATTEMPT: Any = ray.remote(num_cpus=0, max_retries=0)(cancel_attempt)
ANSWER: Any = ray.remote(num_cpus=0, max_retries=0)(answer)


def on_node(order: Order, node: str) -> Awaitable[Report]:
    """Runs an order on one node."""
    return _task(order, NodeAffinitySchedulingStrategy(node, soft=False))


def cancel_on(node: str, root: str, attempt_id: str, rank: int | None, grace_s: float) -> Awaitable[None]:
    """Ends an attempt, or one rank of it, on another node."""
    task = CANCEL_ATTEMPT.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
    ending: Awaitable[None] = task.remote(root, attempt_id, rank, grace_s)
    return ending


async def lives(node: str) -> bool:
    """Whether a node can run anything. Takes long where Ray has still to find out that it can't."""
    task = ANSWER.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
    try:
        await asyncio.wait_for(task.remote(), ANSWERS_WITHIN_S)
    except (ray.exceptions.RayError, TimeoutError):
        return False
    return True


class Together:
    """A placement group that holds the nodes of a gang."""

    def __init__(self, order: Order, nodes: list[str]) -> None:
        bundle = {name: amount for name, amount in _ray_resources(order).items() if amount}
        self._order = order
        self._nodes = nodes
        self.group = ray.util.placement_group(
            [bundle] * order.num_nodes,
            strategy="STRICT_SPREAD",
            bundle_label_selector=[{NODE_ID_LABEL: node} for node in nodes],
        )

    async def there(self, limit_s: float) -> bool:
        """Whether all of them are held."""
        done, _ = await asyncio.wait({asyncio.ensure_future(self.group.ready())}, timeout=limit_s)
        return bool(done)

    def tasks(self) -> list[Awaitable[Report]]:
        """One task on each of them, by rank."""
        master = next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == self._nodes[0])
        return [
            _task(
                replace(self._order, rank=rank, master=master),
                PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=rank),
            )
            for rank in range(self._order.num_nodes)
        ]


@contextmanager
def together(order: Order, nodes: list[str]) -> Iterator[Together]:
    """Holds nodes for a gang until it has ended."""
    held = Together(order, nodes)
    try:
        yield held
    finally:
        ray.util.remove_placement_group(held.group)


def _ray_resources(order: Order) -> dict[str, float]:
    return {"CPU": order.cpus, "GPU": order.gpus, **order.extra}


def _task(order: Order, strategy: Any) -> Awaitable[Report]:
    outcome: Awaitable[Report] = RUN_ATTEMPT.options(
        num_cpus=order.cpus,
        num_gpus=order.gpus,
        resources=order.extra,
        scheduling_strategy=strategy,
        name=order.attempt_id,
    ).remote(order, ray.get_runtime_context().current_actor)
    return outcome
