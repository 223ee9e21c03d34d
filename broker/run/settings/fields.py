"""Kinds of values that only the configuration has: how each is read, or refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import Field

from broker.spec.fields import Whole
from broker.spec.quantities import duration, number, shown

MAX_UNITS: Final = 10_000

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PORT: Final = re.compile(r"loopback:(\d{1,5})")

EventKind = Annotated[str, Field(pattern=r"^(job|attempt|plan|schedule|budget)(\.[a-z_]+)?$")]
Count = Annotated[int, Whole(1, MAX_UNITS, "a number")]
Many = Annotated[int, Whole(1, 1_000_000, "a number")]


def pool_name(value: Any) -> str:
    """The name of a pool. Raises ValueError."""
    return _name(value, "pool")


def receiver_name(value: Any) -> str:
    """The name of a receiver of events. Raises ValueError."""
    return _name(value, "receiver")


def budget_name(value: Any) -> str:
    """The name of a budget. Raises ValueError."""
    return _name(value, "budget")


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{shown(value)} is no name of a {what}: use 1 to 40 of a-z, 0-9, '_' and '-'")
    return str(value)


def listen_address(value: Any) -> str:
    """`unix`, or `loopback:PORT`. Raises ValueError."""
    return "unix" if str(value).strip() == "unix" else _loopback(value, "unix")


def dashboard_address(value: Any) -> str:
    """`off`, or `loopback:PORT`. Raises ValueError."""
    return "off" if value is False or str(value).strip() == "off" else _loopback(value, "off")


def _loopback(value: Any, other: str) -> str:
    text = str(value).strip()
    port = _PORT.fullmatch(text)
    if not (port and int(port[1]) <= 65_535):
        raise ValueError(f"must be {other}, or loopback:PORT (0 is any free port), not {shown(value)}")
    return text


def price(value: Any) -> Any:
    """The fields of a price: an offer's id alone is one, and so is a number of dollars per hour."""
    if isinstance(value, int | float):
        return {"usd_per_hour": value}
    return {"offer": value} if isinstance(value, str) else value


def share_of_time(value: Any) -> float:
    """A number above 0 and at most 1. Raises ValueError."""
    if not 0 < (share := number(value)) <= 1:
        raise ValueError(f"must be above 0 and at most 1, not {shown(value)}")
    return share


def refresh_interval(value: Any) -> float:
    """Seconds, at least five minutes. Raises ValueError."""
    if (every_s := duration(value)) < 300:
        raise ValueError(f"must be at least 5m, not {shown(value)}: providers limit how often they are asked")
    return every_s


def jitter(value: Any) -> float:
    """A number from 0 to 0.9. Raises ValueError."""
    if not 0 <= (share := number(value)) <= 0.9:
        raise ValueError(f"must be between 0 and 0.9, not {shown(value)}")
    return share


def pue(value: Any) -> float:
    """A power usage effectiveness, 1 to 10. Raises ValueError."""
    if not 1 <= (factor := number(value)) <= 10:
        raise ValueError(f"must be between 1 and 10, not {shown(value)}")
    return factor


def years(value: Any) -> float:
    """Years of use, 0.1 to 30. Raises ValueError."""
    if not 0.1 <= (count := number(value)) <= 30:
        raise ValueError(f"must be between 0.1 and 30, not {shown(value)}")
    return count


def tag(value: Any) -> tuple[str, str]:
    """KEY=VALUE as (key, value). Raises ValueError."""
    key, _, content = str(value).partition("=")
    if not (key and content):
        raise ValueError(f"must be KEY=VALUE, not {shown(value)}")
    return key, content
