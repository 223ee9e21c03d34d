"""The line: orders that wait for a place of their kind, first come first served, and none for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from executors.on_machine.order import Order

LIMIT: Final = 128  # orders in it at most: half of them last until the broker, on a busy machine, has sent more
PATIENCE_S: Final = 5.0  # what has waited longer is given back to the broker, which may know a better place
WHY_REFUSED: Final = f"no place came free within {PATIENCE_S:g} s"


class Line:
    """Orders by the kind of place that they wait for; `refused` is told of those that have waited too long."""

    def __init__(self, refused: Callable[[Order], None]) -> None:
        self._refused = refused
        self._waiting: dict[Hashable, dict[str, Order]] = {}
        self._kinds: dict[str, Hashable] = {}
        self._alarms: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._kinds

    @property
    def full(self) -> bool:
        """Whether no more may join it."""
        return len(self._kinds) >= LIMIT

    def join(self, kind: Hashable, order: Order) -> None:
        """It waits from now on."""
        self._waiting.setdefault(kind, {})[order.attempt_id] = order
        self._kinds[order.attempt_id] = kind
        alarm = asyncio.get_running_loop().call_later(PATIENCE_S, self._too_long, order)
        self._alarms[order.attempt_id] = alarm

    def _too_long(self, order: Order) -> None:
        self.leave(order.attempt_id)
        self._refused(order)

    def leave(self, attempt_id: str) -> Order | None:
        """It waits no longer; None where it did not."""
        if attempt_id not in self._kinds:
            return None
        kind = self._kinds.pop(attempt_id)
        order = self._waiting[kind].pop(attempt_id)
        if not self._waiting[kind]:
            del self._waiting[kind]
        self._alarms.pop(attempt_id).cancel()
        return order

    def first(self, kind: Hashable) -> Order | None:
        """The one whose turn it is; None where nobody waits."""
        return next(iter(self._waiting.get(kind, {}).values()), None)

    def all(self, kind: Hashable) -> list[Order]:
        """Those that wait for a kind of place."""
        return list(self._waiting.get(kind, {}).values())
