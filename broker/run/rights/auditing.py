"""The audit log while the broker runs: what was refused is written within bounds, what is old is forgotten."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import Final

import structlog

from broker.model.audit import AuditEntry, AuditFilter
from broker.model.errors import BrokerError
from broker.model.money import NS_PER_S
from broker.ports import Clock, Store

log = structlog.get_logger()

MOST_REFUSED: Final = 120  # entries of refused requests within `WITHIN_S`: nobody fills the disk by being refused
WITHIN_S: Final = 60.0
FORGET_EVERY_S: Final = 3600.0


class Audit:
    """Writes and reads the log."""

    def __init__(self, store: Store, clock: Clock, keep_s: float) -> None:
        self._store, self._keep_s = store, keep_s
        self.clock = clock
        self._refused: deque[int] = deque(maxlen=MOST_REFUSED)  # when, of those that were written
        self._left_out = 0

    async def done(self, entry: AuditEntry) -> None:
        """Appends an entry of what was done and is stored nowhere."""
        await asyncio.to_thread(self._store.append_audit, entry)

    async def refused(self, entry: AuditEntry) -> None:
        """Appends an entry of what was refused; of more than a few in a short time, only how many."""
        since_ns = entry.at_ns - round(WITHIN_S * NS_PER_S)
        if len(self._refused) == MOST_REFUSED and self._refused[0] > since_ns:
            self._left_out += 1
            return
        self._refused.append(entry.at_ns)
        before = f" ({self._left_out} refused before it are left out)" if self._left_out else ""
        self._left_out = 0
        await self.done(replace(entry, outcome=entry.outcome + before))

    async def entries(self, wanted: AuditFilter) -> tuple[AuditEntry, ...]:
        """Entries, newest first."""
        return await asyncio.to_thread(self._store.audit, wanted)

    async def run(self) -> None:
        """Forgets what is old, until cancelled."""
        while True:
            before_ns = self.clock.now_ns() - round(self._keep_s * NS_PER_S)
            try:
                if forgotten := await asyncio.to_thread(self._store.expire_audit, before_ns):
                    log.info("old entries of the audit log were forgotten", entries=forgotten)
            except BrokerError as error:
                log.warning("old entries of the audit log could not be forgotten", error=str(error))
            await asyncio.sleep(FORGET_EVERY_S)
