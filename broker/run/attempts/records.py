"""What attempts wrote and returned: from the archive, from a pool that is driven here, or from whoever drives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from broker.model.errors import BrokerError, UnknownName, Unreachable
from broker.model.jobs import Attempt
from broker.ports import Executor, LogChunk, Stream
from broker.run.attempts.archive import Archive
from broker.run.attempts.register import Register
from broker.run.lately import Lately
from broker.run.members.peers import Peers
from broker.run.pools import RunningPool
from broker.run.secrecy.masking import NOTHING, Mask, Masks
from broker.run.telling.events import Event

MOST_AT_ONCE: Final = 1 << 20  # bytes of output that go through the database
OPENS_WITHIN_S: Final = 10.0  # a pool that comes up is waited for so long by whoever reads what it has
_KEPT: Final = 4_096  # attempts


class Records:
    """Reads output and results, and answers other brokers that ask for them."""

    def __init__(
        self,
        register: Register,
        archive: Archive,
        pools: Mapping[str, RunningPool],
        peers: Peers,
        masks: Masks,
        settle: Callable[[str], Awaitable[None]],
    ) -> None:
        """`settle` charges what a pool used that is driven here."""
        self._register = register
        self._store = register.store
        self._archive = archive
        self._pools = pools
        self._peers = peers
        self._masks = masks
        self._settle = settle
        self._bare: Lately[str, bool] = Lately(_KEPT)  # attempts whose jobs have no secrets
        register.events.call(self._happened)

    def _happened(self, event: Event) -> None:
        if event.attempt is not None and event.job is not None and not event.job.may_have_secrets:
            self._bare.put({event.attempt.id: True})

    async def logs(self, attempt: Attempt, stream: Stream, offset: int, limit: int) -> LogChunk:
        """A piece of an attempt's output, running or ended. Raises KeyError when it never started, and
        `Unreachable`."""
        if await self._is_elsewhere(attempt):
            what = {"what": "logs", "attempt": attempt.id, "stream": stream, "offset": offset}
            return _chunk(await self._peers.ask(attempt.pool, {**what, "limit": min(limit, MOST_AT_ONCE)}), attempt)
        return await self._logs_here(attempt, stream, offset, limit)

    async def _logs_here(self, attempt: Attempt, stream: Stream, offset: int, limit: int) -> LogChunk:
        if self._archive.holds(attempt.id):
            return await asyncio.to_thread(self._archive.logs, attempt.id, stream, offset, limit)
        executor = self._executor(attempt)
        mask = await self.mask(attempt.id)
        try:
            return await mask.read(partial(executor.logs, attempt.id, stream), offset, limit)
        except KeyError:
            return await asyncio.to_thread(self._archive.logs, attempt.id, stream, offset, limit)

    async def mask(self, attempt_id: str) -> Mask:
        """What is masked in the output of an attempt; nothing of one that the store does not know."""
        held = self._register.live.get(attempt_id)
        if self._bare.get(attempt_id) or (held is not None and not held.job.may_have_secrets):
            return NOTHING

        def find() -> Mask:
            try:
                return self._masks.of(self._store.job(self._store.attempt(attempt_id).job_id).spec)
            except UnknownName:
                return NOTHING

        return await asyncio.to_thread(find)

    async def result(self, attempt: Attempt) -> bytes | None:
        """What a function returned or raised; None while there is nothing. Raises `Unreachable`."""
        if await self._is_elsewhere(attempt):
            said, data = _parted(await self._peers.ask(attempt.pool, {"what": "result", "attempt": attempt.id}))
            return data if said["known"] else None
        return await self._result_here(attempt)

    async def _result_here(self, attempt: Attempt) -> bytes | None:
        if self._archive.holds(attempt.id):
            return await asyncio.to_thread(self._archive.result, attempt.id)
        try:
            return await self._executor(attempt).result(attempt.id)
        except KeyError:  # it never started there, or is forgotten
            return None

    async def reply(self, pool: str, asked: Mapping[str, Any]) -> bytes:
        """The answer to another broker's question about a pool that is driven here."""
        try:
            if asked["what"] == "settle":
                await self._settle(pool)
                return _joined({})
            attempt = await asyncio.to_thread(self._store.attempt, asked["attempt"])
            if asked["what"] == "result":
                found = await self._result_here(attempt)
                return _joined({"known": found is not None}, found or b"")
            chunk = await self._logs_here(attempt, asked["stream"], asked["offset"], asked["limit"])
        except (KeyError, UnknownName):
            return _joined({"known": False})
        except BrokerError as error:
            return _joined({"known": False, "error": str(error)})
        return _joined({"known": True, "next": chunk.next_offset, "complete": chunk.complete}, chunk.data)

    async def _is_elsewhere(self, attempt: Attempt) -> bool:
        """Whether another broker has what it wrote and returned, as soon as that is known."""
        running = self._pools.get(attempt.pool)
        if running is None or self._archive.holds(attempt.id):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENS_WITHIN_S):
                await running.settled.wait()
        return running.elsewhere is not None

    def _executor(self, attempt: Attempt) -> Executor:
        """Raises `KeyError` where there is no such pool any more, and `Unreachable` while it is not open."""
        executor = self._pools[attempt.pool].executor
        if executor is None:
            raise Unreachable(f"pool {attempt.pool}, which has the records of {attempt.id}, is not open now: ask again")
        return executor


def _joined(head: Mapping[str, Any], data: bytes = b"") -> bytes:
    return json.dumps(dict(head)).encode() + b"\n" + data


def _parted(answer: bytes) -> tuple[Mapping[str, Any], bytes]:
    """Raises `Unreachable` where the broker that was asked could not look."""
    head, _, data = answer.partition(b"\n")
    said = json.loads(head)
    if "error" in said:
        raise Unreachable(said["error"])
    return said, data


def _chunk(answer: bytes, attempt: Attempt) -> LogChunk:
    said, data = _parted(answer)
    if not said["known"]:
        raise KeyError(attempt.id)
    return LogChunk(data=data, next_offset=said["next"], complete=said["complete"])
