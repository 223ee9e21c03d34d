"""The broker itself: its pools with what they have and lack, its process, and its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from broker.model.acting import about
from broker.model.audit import DONE, AuditEntry
from broker.model.errors import StoreError
from broker.model.times import day_of
from broker.run.broker import Broker
from broker.run.capacity.autopilot import Autopilot
from broker.run.pools import RunningPool, named
from broker.run.service.answers import DaemonStanding, PoolStanding

log = structlog.get_logger()

_ANSWER_WITHIN_S: Final = 5.0
SHUTDOWN: Final = "shutdown.shutdown"  # as the audit log names the end of a broker, whoever asks for it
MACHINE: Final = "machine"  # where it came from: a command here that no broker was there to hear


class Operations:
    """What the person who runs the broker asks."""

    def __init__(self, broker: Broker, stale_price_days: int) -> None:
        self._broker = broker
        self._stale_price_days = stale_price_days
        self._started_ns = broker.clock.now_ns()

    async def pools(self) -> tuple[PoolStanding, ...]:
        """All pools by name, each asked for its capacity now."""
        standings = await asyncio.gather(*(self._standing(pool) for pool in self._broker.pools.values()))
        return tuple(sorted(standings, key=lambda standing: standing.pool.name))

    async def pool(self, name: str) -> PoolStanding:
        """One of them. Raises `UnknownName`."""
        return await self._standing(named(self._broker.pools, name))

    async def _standing(self, running: RunningPool) -> PoolStanding:
        problem = None
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await running.capacity()
        except TimeoutError:
            problem = f"did not say within {_ANSWER_WITHIN_S:g} s what it has; this is what it said before"
        today = day_of(self._broker.clock.now_ns())
        offers = (*running.pool.offers, *running.pool.head_offers)
        old = (offer.id for offer in offers if offer.age_days(today) > self._stale_price_days)
        return PoolStanding(
            pool=running.pool,
            capacity=running.last_capacity,
            problem=running.problem or problem,
            today=today,
            stale_offers=frozenset(old),
        )

    async def status(self) -> DaemonStanding:
        """The daemon's process and what it has to do."""
        counts = await asyncio.to_thread(self._broker.store.counts)
        problems = {name: running.problem for name, running in self._broker.pools.items() if running.problem}
        return DaemonStanding(
            pid=os.getpid(),
            version=version("gpu-broker"),
            started_ns=self._started_ns,
            now_ns=self._broker.clock.now_ns(),
            memory_bytes=_resident_bytes(),
            counts=dict(counts),
            problems=problems,
            member=self._broker.membership.member,
            brokers=self._broker.membership.standing,
        )

    def autopilot(self) -> Autopilot:
        """The autopilot, with what it decided last."""
        return self._broker.autopilot

    def shut_down(self, *, drain: bool) -> None:
        """Asks for the end of the broker and its pools: after what runs has ended, or now."""
        self._broker.request_stop(drain=drain)
        for pool in self._broker.open_pools.names():
            about(pool)

    async def end_left(self, pools: Sequence[str], user: str, *, drain: bool) -> None:
        """The same for pools that an earlier broker left, of which nobody could ask that one."""
        self._broker.request_stop(drain=drain)
        entry = AuditEntry(
            at_ns=self._broker.clock.now_ns(),
            user=user,
            token_id="",
            action=SHUTDOWN,
            target=", ".join(pools),
            origin=MACHINE,
            outcome=DONE,
        )
        try:
            await self._broker.audit.done(entry)
        except StoreError as error:
            log.error("the audit log could not be written", action=SHUTDOWN, user=user, error=str(error))


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
