"""What ran and what waits → how many nodes clusters in virtual time have, by the functions of the autopilot."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from broker.decide import steering
from broker.model.jobs import Attempt, Job
from broker.model.money import NS_PER_S
from broker.model.pools import Capability, PoolKind
from broker.model.runs import Run
from broker.model.times import day_of
from simulator.virtual.pool import SimPool

QUEUED = 1_000  # jobs at the head of the queue that count as work


class Steering:
    """Steers the clusters that can be scaled, as `broker.run.capacity.autopilot` does."""

    def __init__(self, pools: Mapping[str, SimPool]) -> None:
        self.steered: list[tuple[int, str, int]] = []
        self._clusters = [each for each in pools.values() if _steerable(each)]
        self._others = [each.pool for each in pools.values() if each.pool.kind is PoolKind.SERVERLESS]
        self._past: deque[Run] = deque()
        self._fewer: dict[str, int] = {}

    def ended(self, attempt: Attempt, job: Job) -> None:
        """Takes note of an attempt that has ended."""
        self._past.extend(_runs(attempt, job))

    def step(self, live: Sequence[tuple[Attempt, Job]], queued: Sequence[Job], now_ns: int) -> None:
        """Decides for each cluster, and applies it."""
        since_ns = now_ns - round(steering.HISTORY_S * NS_PER_S)
        while self._past and (self._past[0].ended_ns or now_ns) < since_ns:
            self._past.popleft()
        runs = [*self._past, *(run for attempt, job in live for run in _runs(attempt, job))]
        today = day_of(now_ns)
        for each in self._clusters:
            name = each.pool.name
            held = [*runs, *steering.waiting(queued[:QUEUED], each.pool)]
            wished = steering.wish(each.pool, self._others, held, now_ns, today)
            if wished is None:
                continue
            step = steering.steer(wished, len(each.up), self._fewer.get(name, 0))
            self._fewer[name] = step.fewer
            if step.nodes != len(each.up):
                each.scale(step.nodes)
                self.steered.append((now_ns, name, step.nodes))


def _steerable(each: SimPool) -> bool:
    return each.pool.kind is PoolKind.CLUSTER and Capability.SCALE in each.pool.capabilities


def _runs(attempt: Attempt, job: Job) -> list[Run]:
    started_ns = attempt.started_ns or attempt.stored_ns
    run = Run(
        user=job.user,
        pool=attempt.pool,
        resources=attempt.resources,
        started_ns=started_ns,
        ended_ns=attempt.ended_ns,
    )
    return [run] * job.spec.resources.num_nodes
