"""Answers that take long → kept for who does not need them fresh, and made once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from broker.model.money import NS_PER_S
from broker.ports import Clock

Answer = TypeVar("Answer")
MOST: Final = 64


@dataclass(slots=True)
class _Made(Generic[Answer]):
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    as_of_ns: int | None = None  # when its making began; None: it was not made yet
    answer: Answer | None = None


class Kept(Generic[Answer]):
    """The last answers to the last questions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made: dict[Hashable, _Made[Answer]] = {}

    async def answer(self, question: Hashable, max_age_s: float, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer as it was at most so long ago. Raises what `make` raises."""
        wanted_ns = self._clock.now_ns() - round(max_age_s * NS_PER_S)
        found = self._made.pop(question, None) or _Made()
        self._made[question] = found  # the last that was asked for is the last to be forgotten
        if len(self._made) > MOST:
            del self._made[next(iter(self._made))]
        async with found.turn:
            if found.as_of_ns is None or found.answer is None or found.as_of_ns <= wanted_ns:
                as_of_ns = self._clock.now_ns()
                found.answer = await make()
                found.as_of_ns = as_of_ns
            return found.answer
