"""The autopilot: looks at the history now and then, decides how many nodes to hold, applies it, and says why.

What it decided is kept in `autopilot.jsonl` in the state folder, one line a decision and pool.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from broker.model.errors import BrokerError
from broker.model.money import NS_PER_S
from broker.model.pools import Capability, PoolKind
from broker.ports import Clock, Scalable, Store
from broker.run.pools import RunningPool
from broker.run.settings.autopilot import AutopilotSettings, Mode

log = structlog.get_logger()

REMEMBERED = 200
QUEUED = 1_000  # jobs at the head of the queue that count as work


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided for one pool."""

    at_ns: int
    pool: str
    up: int  # nodes that were there
    nodes: int  # nodes that should be
    applied: bool  # False: in a dry run, or nothing was to be changed, or it failed
    reason: str


class Autopilot:
    """Steers the cluster pools that can be scaled."""

    def __init__(
        self,
        settings: AutopilotSettings,
        pools: Mapping[str, RunningPool],
        store: Store,
        clock: Clock,
        state_dir: Path,
    ) -> None:
        self.settings = settings
        self.decisions: deque[Decision] = deque(maxlen=REMEMBERED)
        self._pools = pools
        self._store = store
        self._clock = clock
        self._log = state_dir / "autopilot.jsonl"
        self._fewer: dict[str, int] = {}

    async def run(self) -> None:
        """Decides again and again until cancelled; what fails is said in the log and tried again."""
        while True:
            await asyncio.sleep(self.settings.every_s)
            for running in self._pools.values():
                if running.usable and _steerable(running):
                    try:
                        await self.step(running)
                    except (BrokerError, OSError) as error:
                        log.warning("autopilot could not steer", pool=running.pool.name, error=str(error))

    async def step(self, running: RunningPool) -> Decision | None:
        """Decides for one pool and applies it; None where its price is not known or it does not say what it has."""
        from broker.decide import steering

        now_ns, name = self._clock.now_ns(), running.pool.name
        since_ns = now_ns - round(steering.HISTORY_S * NS_PER_S)
        runs = await asyncio.to_thread(self._store.runs, since_ns)
        queued = await asyncio.to_thread(self._store.placeable, now_ns, QUEUED)
        held = [*runs, *steering.waiting(queued, running.pool)]
        others = [each.pool for each in self._pools.values() if each.pool.kind is PoolKind.SERVERLESS]
        today = datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date()
        wished = await asyncio.to_thread(steering.wish, running.pool, others, held, now_ns, today)
        capacity = await running.capacity()
        if wished is None or capacity is None:
            return None
        up = len(capacity.units)
        step = steering.steer(wished, up, self._fewer.get(name, 0))
        self._fewer[name] = step.fewer
        applied = self.settings.mode is Mode.ON and step.nodes != up
        executor: object = running.executor
        if applied and isinstance(executor, Scalable):
            await executor.scale(step.nodes)
            after = await running.capacity()
            applied = after is not None and len(after.units) != up
        decision = Decision(at_ns=now_ns, pool=name, up=up, nodes=step.nodes, applied=applied, reason=step.reason)
        await asyncio.to_thread(self._keep, decision)
        return decision

    def _keep(self, decision: Decision) -> None:
        self.decisions.append(decision)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(decision)) + "\n")


def _steerable(running: RunningPool) -> bool:
    return running.pool.kind is PoolKind.CLUSTER and Capability.SCALE in running.pool.capabilities
