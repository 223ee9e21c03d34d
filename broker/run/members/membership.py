"""This broker among those of its store: it joins, renews its time, and knows which pools it drives and which others do.

With one broker everything is the same, and all leases are its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog

from broker.model.errors import StoreAway
from broker.model.leases import LEADER, Lease, Member, Standing
from broker.model.money import NS_PER_S
from broker.ports import Store
from broker.run.settings.leases import LeaseTimes

log = structlog.get_logger()

AWAY_RETRY_S: Final = 1.0
SOONEST_S: Final = 0.2  # between two looks at how others stand


LEASE_TIMES: Final = LeaseTimes()


class Membership:
    """One broker's place among others."""

    def __init__(self, store: Store, home: str, places: Mapping[str, str], times: LeaseTimes = LEASE_TIMES) -> None:
        """`places` of the pools that it can drive, by name; `home` is its state folder's, empty for an API worker."""
        self._store = store
        self._home = home
        self._times = times
        self._until = 0.0
        self._wanted = {**places, LEADER: ""} if home else {}
        self._renewed = asyncio.Event()
        self.look = asyncio.Event()  # set when others may stand differently
        self.member = Member(id="", name="", home=home)
        self.standing = Standing(now_ns=0, leases=(), others=())

    @property
    def away_s(self) -> float:
        """After how long what runs on the machine of a broker that is gone counts as lost."""
        return self._times.away_s

    @property
    def alone(self) -> bool:
        """Whether no other broker or API worker is there to tell anything."""
        return not self.standing.others

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken over: its time is not up, by this machine's monotonic clock."""
        return not self._store.shared or time.monotonic() < self._until

    @property
    def joined(self) -> bool:
        """Whether it has a place among the others."""
        return bool(self.standing.now_ns) and self.sure

    @property
    def leads(self) -> bool:
        """Whether it does what one broker does for all."""
        return self.holds(LEADER) and self.sure

    def lease(self, name: str) -> Lease | None:
        """The lease of a pool; None where no broker has ever driven it."""
        return next((each for each in self.standing.leases if each.name == name), None)

    def holds(self, name: str) -> bool:
        """Whether it drives a pool."""
        lease = self.lease(name)
        return lease is not None and lease.holder == self.member.id

    async def join(self) -> None:
        """Becomes a new member, and takes what is free. Raises what the store raises."""
        name = f"{socket.gethostname()}:{os.getpid()}"
        self.member = Member(id=secrets.token_hex(8), name=name, home=self._home)
        await asyncio.to_thread(self._store.join, self.member, self._times.lease_s)
        await self.renew()

    async def renew(self) -> None:
        """Lives on. Raises `LeaseLost` when it was taken for gone, and `StoreError`."""
        began = time.monotonic()
        self.standing = await asyncio.to_thread(self._store.renew, self.member, self._times.lease_s, self._wanted)
        self._until = began + self._times.lease_s
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def renewed(self) -> None:
        """Returns when it has looked at how others stand once more."""
        await self._renewed.wait()

    async def run(self) -> None:
        """Renews until cancelled. Raises `LeaseLost`; while the database is away, it tries again."""
        while True:
            self.look.clear()
            await asyncio.sleep(SOONEST_S)
            every_s = self._times.lease_s / 3 - SOONEST_S if self._store.shared else None
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self.look.wait()
            try:
                await self.renew()
            except StoreAway as error:
                log.warning("the database is away; it is tried again", error=str(error))
                await asyncio.sleep(min(AWAY_RETRY_S, self._times.lease_s / 4))
                self.look.set()

    def abandoned(self) -> list[Lease]:
        """Those that have been nobody's for long enough to give up what their holders had."""
        long_ns = self.standing.now_ns - round(self._times.away_s * NS_PER_S)
        return [
            each
            for each in self.standing.leases
            if each.place and each.holder is None and each.freed_ns is not None and each.freed_ns < long_ns
        ]

    async def take_abandoned(self, name: str) -> bool:
        """Takes such a lease; whether it was still to be had. Raises what the store raises."""
        return await asyncio.to_thread(self._store.take_abandoned, self.member, name, self._times.away_s)

    async def clear_place(self, name: str) -> None:
        """Gives back a lease of which nothing is left. Raises what the store raises."""
        await asyncio.to_thread(self._store.clear_place, self.member, name)

    def publish(self, views: Mapping[str, str]) -> None:
        """Says of pools that it drives what others need to know. Raises what the store raises."""
        self._store.publish(self.member, views)

    async def leave(self) -> None:
        """Lets others go on at once with what it has. Raises what the store raises."""
        self._until = 0.0
        await asyncio.to_thread(self._store.leave, self.member)
