"""Brokers and API workers of one store tell each other what is new, and ask whoever drives a pool.

All of it goes through the database: they need not reach each other. What is told is a hint, and may be lost: whoever
hears nothing looks for himself now and then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import structlog

from broker.model.errors import BrokerError, StoreError, Unreachable
from broker.ports import Store
from broker.run.attempts.register import Register
from broker.run.members.membership import Membership
from broker.run.telling.events import Event

log = structlog.get_logger()

LISTEN_AGAIN_S: Final = 1.0
LOOK_EVERY_S: Final = 2.0  # what is told may be lost
MOST_REASON: Final = 1_000  # characters: a notice has room for 8000 bytes
ANSWER_WITHIN_S: Final = 10.0
Answer = Callable[[str, Mapping[str, Any]], Awaitable[bytes]]


class Peers:
    """What goes between this broker and the others."""

    def __init__(self, store: Store, membership: Membership, register: Register, answer: Answer) -> None:
        """`answer` says what is asked about a pool that is driven here."""
        self._store = store
        self._membership = membership
        self._register = register
        self._answer = answer
        self._to_tell: dict[str, None] = {}
        self._telling = asyncio.Event()
        self._answered: dict[int, asyncio.Event] = {}
        register.events.call(self._relay)

    def tell(self, kind: str, **more: Any) -> None:
        """Lets the others know, by and by; the same twice is told once. Nothing, where nobody else is."""
        if not self._membership.alone:
            self._to_tell[self._message(kind, **more)] = None
            self._telling.set()

    async def look_at_me(self) -> None:
        """Lets others know at once that this broker has come, or has gone. Raises what the store raises."""
        await asyncio.to_thread(self._store.tell, [self._message("view")])

    def _message(self, kind: str, **more: Any) -> str:
        return json.dumps({"by": self._membership.member.id, "kind": kind, **more})

    def _relay(self, event: Event) -> None:
        self.tell(
            "event",
            what=event.kind,
            at_ns=event.at_ns,
            reason=event.reason[:MOST_REASON],
            pool=event.pool,
            job=event.job.id if event.job else None,
            attempt=event.attempt.id if event.attempt else None,
            schedule=event.schedule,
            project=event.project,
            user=event.user,
        )

    async def run(self) -> None:
        """Tells and hears until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._tell(), self._hear(), self._look()):
                tasks.create_task(work)

    async def _tell(self) -> None:
        while True:
            await self._telling.wait()
            self._telling.clear()
            messages, self._to_tell = list(self._to_tell), {}
            try:
                await asyncio.to_thread(self._store.tell, messages)
            except StoreError as error:
                log.warning("other brokers were not told; they look for themselves", error=str(error))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._membership.alone:
                self._all_may_be_new()

    async def _hear(self) -> None:
        while True:
            try:
                async with aclosing(self._store.listen()) as messages:
                    async for message in messages:
                        await self._take_in(message)
            except (StoreError, OSError) as error:
                log.warning("other brokers are not heard; it is tried again", error=str(error))
                await asyncio.sleep(LISTEN_AGAIN_S)

    async def _take_in(self, message: str) -> None:
        """Whoever may use the database may also write what is no message."""
        try:
            await self._heard(json.loads(message) if message else {"kind": "all"})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("a notice was no message of a broker", error=repr(error))

    async def _heard(self, message: Mapping[str, Any]) -> None:
        if message.get("by") == self._membership.member.id:
            return
        match message["kind"]:
            case "all":
                self._all_may_be_new()
                await self._answer_questions()
            case "work":
                self._register.work.set()
                self._register.changes.happened()
            case "event":
                self._register.changes.happened()
                await self._take(message)
            case "view":
                self._membership.look.set()
            case "question":
                await self._answer_questions()
            case "answer" if message["id"] in self._answered:
                self._answered[message["id"]].set()

    def _all_may_be_new(self) -> None:
        self._membership.look.set()
        self._register.work.set()
        self._register.changes.happened()

    async def _take(self, message: Mapping[str, Any]) -> None:
        """An event of another broker, for those who listen to all."""
        if self._register.events.relayed_to_nobody:
            return
        with suppress(BrokerError):
            job, attempt = await asyncio.to_thread(self._named, message["job"], message["attempt"])
            event = Event(
                kind=message["what"],
                at_ns=message["at_ns"],
                reason=message["reason"],
                pool=message["pool"],
                job=job,
                attempt=attempt,
                schedule=message.get("schedule", ""),  # a broker of an earlier version does not say
                project=message.get("project"),
                user=message.get("user"),
            )
            self._register.events.relay(event)

    def _named(self, job: str | None, attempt: str | None) -> tuple[Any, Any]:
        return self._store.job(job) if job else None, self._store.attempt(attempt) if attempt else None

    async def _answer_questions(self) -> None:
        mine = [each.name for each in self._membership.standing.leases if self._membership.holds(each.name)]
        if not mine:
            return
        try:
            for question in await asyncio.to_thread(self._store.questions, mine):
                data = await self._answer(question.name, json.loads(question.body))
                await asyncio.to_thread(self._store.reply, question.id, data)
                self.tell("answer", id=question.id)
        except BrokerError as error:
            log.warning("another broker's question was not answered", error=str(error))

    async def ask(self, pool: str, what: Mapping[str, Any], within_s: float = ANSWER_WITHIN_S) -> bytes:
        """What the broker says that drives a pool. Raises `Unreachable` when none does, or it says nothing."""
        lease = self._membership.lease(pool)
        if lease is None or lease.holder is None:
            raise Unreachable(f"no broker drives the pool {pool} now; its records are with {_last(lease)}")
        number = await asyncio.to_thread(self._store.ask, pool, json.dumps(dict(what)))
        come = self._answered[number] = asyncio.Event()
        self.tell("question")
        try:
            async with asyncio.timeout(within_s):
                while (found := await asyncio.to_thread(self._store.answer, number)) is None:
                    if self._membership.holds(pool):  # whoever was asked has gone meanwhile
                        return await self._answer(pool, what)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await come.wait()
                    come.clear()
        except TimeoutError:
            raise Unreachable(f"{lease.holder_name}, which drives the pool {pool}, does not answer") from None
        finally:
            del self._answered[number]
        return found


def _last(lease: Any) -> str:
    return lease.holder_name if lease is not None else "nobody"
