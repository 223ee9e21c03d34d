"""What happens → whoever listens, while it happens. Nothing is kept: the store has what was, this says what is new."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from broker.model.foresight import Decision
from broker.model.jobs import Attempt, Job

MOST_KEPT: Final = 1_000  # events that a listener who comes back may still hear of
MOST_WAITING: Final = 10_000  # events that a slow listener may be behind; then the oldest are dropped, and counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    `kind` is `job.STATE`, `attempt.STATE`, `plan.nodes`, `plan.warm`, `plan.proposal`, `schedule.STATE` of a firing,
    `budget.nearly_spent` or `budget.spent`.
    """

    kind: str
    at_ns: int
    reason: str
    pool: str = ""
    job: Job | None = None
    attempt: Attempt | None = None  # the one that the job's state comes from
    decision: Decision | None = None
    schedule: str = ""  # name of the schedule that it is about
    project: str | None = None  # of the schedule or budget that it is about
    user: str | None = None  # of the budget that it is about


class Events:
    """Tells every listener, in the order in which things were recorded."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Event], None]] = []
        self._everywhere: list[Callable[[Event], None]] = []
        self._boot = secrets.token_hex(4)
        self._number = 0  # of the last event
        self._kept: deque[tuple[int, Event]] = deque(maxlen=MOST_KEPT)

    @property
    def relayed_to_nobody(self) -> bool:
        """Whether nobody here listens to what happens at other brokers."""
        return not self._everywhere

    def relay(self, event: Event) -> None:
        """This happened at another broker, which tells whoever is to be told once."""
        self._keep(event)
        for callback in self._everywhere:
            callback(event)

    def call(self, callback: Callable[[Event], None]) -> None:
        """Calls it with every event from now on. It must be quick, and must not raise."""
        self._callbacks.append(callback)

    def tell(self, events: Iterable[Event]) -> None:
        """These happened."""
        for event in events:
            self._keep(event)
            for callback in self._callbacks:
                callback(event)

    def _keep(self, event: Event) -> None:
        self._number += 1
        self._kept.append((self._number, event))

    @property
    def place(self) -> str:
        """Where the last event is in the order of this process."""
        return f"{self._boot}-{self._number}"

    def since(self, place: str) -> tuple[list[tuple[str, Event]], bool]:
        """What happened after a place, with the place of each; and whether some of it is not known any more."""
        boot, _, number = place.partition("-")
        if boot != self._boot:
            return [], True
        after = [(f"{boot}-{at}", event) for at, event in self._kept if at > int(number)]
        return after, len(after) < self._number - int(number)

    @contextmanager
    def listen(self, *, everywhere: bool = False) -> Iterator[Listener]:
        """A listener that gets what happens from now on, until it is left; `everywhere`: at other brokers as well."""
        listener = Listener(lambda: self.place)
        joined = [self._callbacks, self._everywhere] if everywhere else [self._callbacks]
        for callbacks in joined:
            callbacks.append(listener.take)
        try:
            yield listener
        finally:
            for callbacks in joined:
                callbacks.remove(listener.take)


class Listener:
    """Events that wait for one listener."""

    def __init__(self, place: Callable[[], str]) -> None:
        """`place` says where the last event is in the order of all."""
        self.missed = 0  # dropped since the last look, as too many were waiting
        self._place = place
        self._waiting: deque[tuple[str, Event]] = deque()
        self._come = asyncio.Event()

    def take(self, event: Event) -> None:
        """One more."""
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self.missed += 1
        self._waiting.append((self._place(), event))
        self._come.set()

    async def next(self, timeout_s: float) -> Event | None:
        """The oldest that waits, or the next one; None when none came in this time."""
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._next())[1]
        except TimeoutError:
            return None

    async def all(self) -> AsyncIterator[tuple[str, Event]]:
        """Every one, for ever, with its place."""
        while True:
            yield await self._next()

    async def _next(self) -> tuple[str, Event]:
        await self._come.wait()
        found = self._waiting.popleft()
        if not self._waiting:
            self._come.clear()
        return found
