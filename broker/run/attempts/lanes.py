"""The queue, lane by lane: each project's jobs in their order, merged so that projects get their shares.

Where there is but the default project without a quota, it is the queue as the store has it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from broker.decide.fair_share import in_turn, totals
from broker.decide.quotas import NO_QUOTAS, Quotas, held
from broker.model.jobs import Job
from broker.model.placement import Placement
from broker.model.projects import DEFAULT_PROJECT, Project
from broker.ports import Store
from broker.run.pools import RunningPool
from broker.run.rights.projects import Projects

FEW: Final = 16  # of a lane: enough to see how many of them are long


class Lanes:
    """What of the queue is looked at in a round."""

    def __init__(self, store: Store, projects: Projects, pools: Mapping[str, RunningPool]) -> None:
        self._store, self._projects, self._pools = store, projects, pools
        self._stuck: defaultdict[str, set[str]] = defaultdict(set)  # project -> users whose next job waits for a quota

    def begin(self) -> None:
        """A new round: everybody is looked at again."""
        self._stuck.clear()

    async def next(self, now_ns: int, limit: int, skip: frozenset[str]) -> tuple[Job, ...]:
        """The next jobs to decide about, in the order of their turns."""
        projects = await self._projects.every()
        if _plain(projects):
            return await asyncio.to_thread(self._store.placeable, now_ns, limit, skip)
        return await asyncio.to_thread(self._merged, projects, now_ns, limit, skip)

    async def quotas(self) -> Quotas:
        """All quotas, with what attempts hold now, of other brokers as well."""
        projects = await self._projects.every()
        if not any(each.quota.limits_use or each.user_quota.limits_use for each in projects):
            return NO_QUOTAS
        return Quotas(projects, await asyncio.to_thread(self._store.holdings))

    def looked_at(self, jobs: Mapping[str, Job], placements: Iterable[Placement]) -> None:
        """Those whose job waits for a quota are not looked at again in this round: nobody overtakes in a quota."""
        for each in placements:
            if held(each):
                job = jobs[each.job_id]
                self._stuck[job.spec.project].add(job.user)

    def _merged(self, projects: Sequence[Project], now_ns: int, limit: int, skip: frozenset[str]) -> tuple[Job, ...]:
        few = min(limit, FEW)
        queues = {each.name: self._lane(each.name, now_ns, few, skip) for each in projects}
        longer = [name for name, queue in queues.items() if len(queue) == few]
        if limit > few and longer:
            few = max(few, 2 * limit // len(longer))
            queues |= {name: self._lane(name, now_ns, few, skip) for name in longer}
            longer = [name for name in longer if len(queues[name]) == few]
        if sum(map(bool, queues.values())) < 2:
            return next((queue[:limit] for queue in queues.values() if queue), ())
        weights = {each.name: each.weight for each in projects}
        there = totals(running.pool for running in list(self._pools.values()))
        return in_turn(queues, weights, self._store.holdings(), there, limit, longer)

    def _lane(self, project: str, now_ns: int, limit: int, skip: frozenset[str]) -> tuple[Job, ...]:
        return self._store.lane(project, now_ns, limit, skip, frozenset(self._stuck[project]))


def _plain(projects: Sequence[Project]) -> bool:
    (first, *others) = projects
    return not others and first.name == DEFAULT_PROJECT and not (first.quota.limits_use or first.user_quota.limits_use)
