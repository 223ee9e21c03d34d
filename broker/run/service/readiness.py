"""Whether this process should be sent requests now, and if not, why."""

from __future__ import annotations

import asyncio

from broker.model.errors import DaemonError
from broker.run.broker import Broker

ANSWER_WITHIN_S = 3.0


class Readiness:
    """What a load balancer asks."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._asking: asyncio.Task[None] | None = None  # of all that ask while the database is silent, one waits for it
        self.draining = False  # it is about to end, and answers what it has begun

    async def check(self) -> None:
        """Returns where it should. Raises `DaemonError` and `StoreError` with the reason why not."""
        if self.draining or self._broker.ended:
            raise DaemonError("it is about to end: send requests to another one")
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._broker.store.check))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await asyncio.shield(self._asking)
        except TimeoutError:
            raise DaemonError(f"the database has not answered for {ANSWER_WITHIN_S:g} s") from None
        if not self._broker.membership.joined:
            raise DaemonError("it has no place among the brokers of its database yet, or has lost it")
        if (problem := self._broker.failures.problem) is not None:
            raise DaemonError(f"it begins no jobs: {problem}")
