"""Jobs that use spot by uniform progress: what of their work is done, and which of them leave their on-demand nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from broker.decide import spot
from broker.decide.constraints import resolve
from broker.decide.duration import estimate
from broker.decide.rules import PlacementRules
from broker.model.errors import BrokerError
from broker.model.jobs import CHECKPOINT_GRACE_S, AttemptState, Job
from broker.model.money import NS_PER_S
from broker.run.attempts.live import Held
from broker.run.attempts.register import Register
from broker.run.pools import RunningPool

log = structlog.get_logger()


class Gambling:
    """Applies the owner's rule for spot to what runs."""

    def __init__(self, pools: Mapping[str, RunningPool], register: Register, rules: PlacementRules) -> None:
        self._pools = pools
        self._register = register
        self._rules = rules

    async def done(self, queued: Sequence[Job]) -> dict[str, float]:
        """Seconds of each job's work that its earlier attempts did and kept."""
        found = {}
        for job in queued:
            if job.attempts and job.spec.checkpoint_every_s:
                recorded = await asyncio.to_thread(self._register.store.recorded, job.id)
                found[job.id] = spot.done_s(job.spec, recorded.attempts)
        return found

    async def step(self) -> None:
        """Tells attempts to leave on-demand nodes where the rule says so."""
        if self._rules.spot_rule is spot.SpotRule.CHEAPEST:
            return
        for held in self._register.live:
            try:
                if self._may(held) and await self._should(held):
                    await self._leave(held)
            except BrokerError:
                raise
            except Exception:
                log.exception("whether an attempt is to leave can't be told; it goes on", attempt=held.attempt.id)

    def _may(self, held: Held) -> bool:
        spec, pool = held.job.spec, self._pools.get(held.attempt.pool)
        known = pool is not None and pool.executor is not None and not spot.is_spot(pool.pool)
        runs = held.attempt.state is AttemptState.RUNNING and not held.job.cancel_requested
        told = held.attempt.reason == spot.LEAVES
        return bool(known and runs and spec.deadline_ns and spec.checkpoint_every_s and not told)

    async def _should(self, held: Held) -> bool:
        job, now_ns = held.job, self._register.clock.now_ns()
        able = [each.pool for each in self._pools.values() if each.usable and resolve(job.spec, each.pool)[0]]
        past = await asyncio.to_thread(self._register.store.runtimes, job.user, job.spec.name)
        done = (await self.done([job])).get(job.id, 0.0)
        left = spot.remaining(estimate(job.spec, past), done)
        ran_s = (now_ns - (held.attempt.started_ns or now_ns)) / NS_PER_S
        at = spot.standing(job, left, done, spot.boots(able), now_ns, ran_s)
        return at is not None and at.leaves()

    async def _leave(self, held: Held) -> None:
        executor = self._pools[held.attempt.pool].executor
        if executor is None:
            return
        await self._register.leave(held)
        try:
            await executor.cancel(held.attempt.id, CHECKPOINT_GRACE_S)
        except BrokerError as error:
            log.warning("an attempt could not be told to leave; it goes on", attempt=held.attempt.id, error=str(error))
