"""Attempts on the machine of a broker that has been gone for too long: nobody else can reach them, so they are lost."""

from __future__ import annotations

import asyncio

import structlog

from broker.model.errors import BrokerError
from broker.model.jobs import AttemptReport, AttemptState
from broker.model.leases import LEADER, Lease
from broker.run.attempts.register import Register
from broker.run.members.membership import Membership

log = structlog.get_logger()

LOOK_EVERY_S = 5.0


class Orphans:
    """Gives up what nobody will come back for; the leader does it, for all brokers."""

    def __init__(self, membership: Membership, register: Register) -> None:
        self._membership = membership
        self._register = register

    async def run(self) -> None:
        """Looks again and again until cancelled."""
        while True:
            try:
                await self.step()
            except BrokerError as error:
                log.warning("abandoned pools could not be looked at; it is tried again", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def step(self) -> None:
        """Gives up what is due."""
        for lease in self._membership.abandoned() if self._membership.leads else ():
            if lease.name != LEADER and await self._membership.take_abandoned(lease.name):
                await self._give_up(lease)
                await self._membership.clear_place(lease.name)

    async def _give_up(self, lease: Lease) -> None:
        await self._register.load(lease.name)
        held = self._register.live.of_pool(lease.name)
        if held:
            log.error("what ran at a broker that does not come back is lost", pool=lease.name, attempts=len(held))
        now_ns = self._register.clock.now_ns()
        reason = f"lost: its broker, {lease.holder_name}, was gone for {self._membership.away_s:g} s"
        await self._register.apply(
            [
                AttemptReport(
                    attempt_id=one.attempt.id,
                    state=AttemptState.INTERRUPTED,
                    at_ns=now_ns,
                    ended_ns=now_ns,
                    reason=reason,
                )
                for one in held
            ]
        )
