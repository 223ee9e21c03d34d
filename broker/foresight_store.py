"""The part of the port to a store that is about what comes: what it is forecast from, what was forecast and decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from broker.model.foresight import Decision, Outlook
from broker.model.runs import Run


class ForesightStore(Protocol):
    """What ran, and forecasts and decisions about capacity, which are only ever appended."""

    def runs(self, since_ns: int) -> tuple[Run, ...]:
        """Attempts that had not ended before `since_ns`, once for each of their nodes, by the time they began."""
        ...

    def first_run_ns(self, since_ns: int) -> int | None:
        """When the first attempt of all began; None where one had ended before `since_ns` already, or there is none."""
        ...

    def cold_starts(self, pool: str, limit: int = 50) -> tuple[float, ...]:
        """Seconds from when the last units, no heads, were asked (or paid) for until they were ready, newest first."""
        ...

    def keep_outlook(self, outlook: Outlook) -> None:
        """Appends a forecast."""
        ...

    def outlooks(self, pool: str, since_ns: int, until_ns: int) -> tuple[Outlook, ...]:
        """Forecasts for a pool made from `since_ns` on and before `until_ns`, oldest first."""
        ...

    def last_outlook(self, pool: str) -> Outlook | None:
        """The newest forecast for a pool."""
        ...

    def keep_decisions(self, decisions: Sequence[Decision]) -> None:
        """Appends decisions about capacity."""
        ...

    def decisions(self, since_ns: int, until_ns: int, pool: str | None = None) -> tuple[Decision, ...]:
        """Decisions made from `since_ns` on and before `until_ns`, oldest first."""
        ...
