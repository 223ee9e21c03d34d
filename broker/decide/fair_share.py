"""The queues of projects, and what each holds → one queue, in which the project that has least for its weight is next.

What a project has is its dominant share: of the resource of which it holds the largest part of all that pools may
have. This is dominant resource fairness (Ghodsi et al., NSDI 2011), with weights. Within a project, order is kept. A
project that waits is passed only by those that have less for their weight, and each job that begins makes that less
true of them: so nobody waits for ever while others begin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Final

from broker.model.jobs import Job
from broker.model.pools import Pool
from broker.model.projects import Holding

CPUS: Final = "cpus"
GPUS: Final = "gpus"  # of whatever model
_DEFAULT_CPUS: Final = 1.0

Amounts = Mapping[str, float]


def totals(pools: Iterable[Pool]) -> dict[str, float]:
    """All that pools may have at most, by resource."""
    found: defaultdict[str, float] = defaultdict(float)
    for pool in pools:
        found[CPUS] += pool.unit.cpus * pool.max_units
        found[GPUS] += pool.most_gpus
        for model in pool.gpu_models:
            found[model] += pool.most_gpus
    return dict(found)


def in_turn(
    queues: Mapping[str, Sequence[Job]],
    weights: Mapping[str, float],
    holdings: Iterable[Holding],
    all_there_is: Amounts,
    limit: int,
    longer: Collection[str] = (),
) -> tuple[Job, ...]:
    """At most `limit` jobs of all queues, each counted as if it began before the next is chosen.

    Of the queues that are `longer` only the beginning is here: once one of them is used up, nobody knows who is next.
    """
    held = _held(holdings)
    places = dict.fromkeys(queues, 0)
    heap = [_turn(name, queue[0], held[name], weights[name], all_there_is) for name, queue in queues.items() if queue]
    heapify(heap)
    found: list[Job] = []
    while heap and len(found) < limit:
        name = heap[0][-1]
        queue, place = queues[name], places[name]
        found.append(queue[place])
        for resource, amount in _asked(queue[place]).items():
            held[name][resource] += amount
        places[name] = place + 1
        if place + 1 < len(queue):
            heapreplace(heap, _turn(name, queue[place + 1], held[name], weights[name], all_there_is))
        elif name in longer:
            break
        else:
            heappop(heap)
    return tuple(found)


def share(held: Amounts, all_there_is: Amounts) -> float:
    """The largest part that is held of any resource."""
    return max((amount / all_there_is[name] for name, amount in held.items() if all_there_is.get(name)), default=0.0)


def _turn(name: str, job: Job, held: Amounts, weight: float, all_there_is: Amounts) -> tuple[float, int, int, str]:
    return (share(held, all_there_is) / weight, -job.spec.priority, job.submitted_ns, name)


def _held(holdings: Iterable[Holding]) -> defaultdict[str, defaultdict[str, float]]:
    found: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for each in holdings:
        for resource, amount in ((CPUS, each.cpus), (GPUS, each.gpus), (each.gpu_model, each.gpus)):
            found[each.project][resource] += amount
    return found


def _asked(job: Job) -> dict[str, float]:
    asked = job.spec.resources
    found = {CPUS: (asked.cpus or _DEFAULT_CPUS) * asked.num_nodes}
    if asked.gpu_choices:
        gpu = asked.gpu_choices[0]
        found[GPUS] = gpu.count * asked.num_nodes
        if gpu.model:
            found[gpu.model] = gpu.count * asked.num_nodes
    return found
