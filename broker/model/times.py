"""Nanoseconds since the epoch and days of UTC: prices, budgets and reports go by days."""

from __future__ import annotations

from datetime import UTC, date, datetime

from broker.model.money import NS_PER_S


def day_of(ns: int) -> date:
    """The day of a moment."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).date()


def begin_of(day: date) -> int:
    """The moment at which a day begins."""
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
