"""Nanoseconds since the epoch and days of UTC: prices, budgets and reports go by days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from broker.model.money import NS_PER_S


def day_of(ns: int) -> date:
    """The day of a moment."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).date()


def begin_of(day: date) -> int:
    """The moment at which a day begins."""
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S


EARLIEST_NS: Final = begin_of(date(1678, 1, 1))  # what is before it, or after the latest, no store can hold
LATEST_NS: Final = begin_of(date(2262, 1, 1))


def bounded(ns: int) -> int:
    """The moment, or the nearest that a store can hold."""
    return max(min(ns, LATEST_NS), EARLIEST_NS)
