"""The day of the examples: a Monday on which a team trains."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from broker.model.money import NS_PER_S
from broker.model.times import day_of

_MIDNIGHT: Final = datetime(2026, 11, 2, tzinfo=UTC)


def at(clock: str) -> int:
    """Nanoseconds since the epoch at `HH:MM` or `HH:MM:SS` of that day, in UTC."""
    moment = datetime.strptime(clock if clock.count(":") == 2 else f"{clock}:00", "%H:%M:%S").replace(tzinfo=UTC)
    since_midnight = (moment.hour * 60 + moment.minute) * 60 + moment.second
    return (int(_MIDNIGHT.timestamp()) + since_midnight) * NS_PER_S


MIDNIGHT: Final = at("00:00")
SUBMITTED: Final = at("09:14:05")
NOW: Final = at("12:00")  # when questions are asked
TODAY: Final = day_of(NOW)
