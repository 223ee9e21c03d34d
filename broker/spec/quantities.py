"""Quantities as people write them (`1h30m`, `32GB..`, `8+`, `$5`) → seconds, bytes, counts and dollars, and back.

Every function raises ValueError with a sentence for people; who calls it knows the field and the place.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

GB: Final = 10**9
MAX_DURATION_S: Final = 366 * 86_400.0
MAX_BYTES: Final = 64 * 10**12
MAX_CPUS: Final = 4_096.0
MAX_USD: Final = 1_000_000_000
NS_PER_S: Final = 1_000_000_000

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_BYTES: Final[dict[str, int]] = {
    unit.lower(): size
    for power, letter in enumerate("KMGTP", 1)
    for unit, size in ((f"{letter}B", 1000**power), (f"{letter}iB", 1024**power), (f"{letter}i", 1024**power))
} | {"b": 1, "": GB}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def number(value: Any) -> float:
    """A finite number, from a number or its text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"must be a number, not {shown(value)}")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"must be a number, not {shown(value)}")
    try:
        result = float(value)
    except OverflowError as error:
        raise ValueError("is too large a number") from error
    if not math.isfinite(result):
        raise ValueError(f"must be a finite number, not {shown(value)}")
    return result


def duration(value: Any) -> float:
    """Seconds, from `30s`, `1h30m`, `2d` or a number of seconds."""
    seconds = _duration_text(value.strip()) if isinstance(value, str) else number(value)
    if seconds < 0:
        raise ValueError(f"must not be negative: {shown(value)}")
    if seconds > MAX_DURATION_S:
        raise ValueError(f"is longer than {MAX_DURATION_S / 86_400:.0f} days, the most that is accepted")
    return seconds


def positive_duration(value: Any) -> float:
    """As `duration`, and more than nothing."""
    if not (seconds := duration(value)):
        raise ValueError("must be longer than zero")
    return seconds


def _duration_text(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return number(text)
    parts = _DURATION_PART.findall(text)
    if not parts or _DURATION_PART.sub("", text):
        raise ValueError(f"must be a time like 30s, 10m, 6h, 2d or 1h30m, or a number of seconds, not {shown(text)}")
    return sum(float(count) * _SECONDS[unit] for count, unit in parts)


def at_least(value: Any) -> Any:
    """The lower bound of what may be written as a range: `8+`, `8..`, `8..16` (the others as they are)."""
    if isinstance(value, str):
        return value.strip().removesuffix("+").split("..")[0].strip() or value
    return value


def cpus(value: Any) -> float:
    """Virtual CPUs, from `4`, `0.5`, `8+`, `8..16`."""
    text = at_least(value)
    count = number(text.removeprefix("x86:") if isinstance(text, str) else text)
    if count <= 0:
        raise ValueError(f"must be more than zero, not {shown(value)}")
    if count > MAX_CPUS:
        raise ValueError(f"{count:g} is more than {MAX_CPUS:g}, the most that a node may be asked for")
    return count


def size_bytes(value: Any) -> int:
    """Bytes, from `32` (GB), `32+`, `16GiB`, `500MB`, `32GB..`; GB is 10^9 bytes and GiB is 2^30."""
    text = at_least(value)
    if isinstance(text, str):
        found = _SIZE.fullmatch(text)
        if not found or found[2].lower() not in _BYTES:
            raise ValueError(f"must be a size like 32GB, 16GiB or 32 (GB), not {shown(value)}")
        result = float(found[1]) * _BYTES[found[2].lower()]
    else:
        result = number(text) * GB
    if result < 1:
        raise ValueError(f"must be more than zero, not {shown(value)}")
    if result > MAX_BYTES:
        raise ValueError(
            f"{shown(value)} is more than {MAX_BYTES // 10**12} TB, the most that a node may be asked for "
            "(a number without a unit is in GB)"
        )
    return round(result)


def size_text(count: int) -> str:
    """How a number of bytes is written: in GB or GiB where that is exact, else in bytes."""
    for unit, size in (("GB", GB), ("GiB", 1024**3), ("MiB", 1024**2)):
        if count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def usd(value: Any) -> str:
    """Decimal dollars as text, from `5`, `$5`, `2.50`; more than zero."""
    amount = _dollars(value)
    if amount <= 0:
        raise ValueError(f"must be more than $0, not {shown(value)}")
    return f"{amount.normalize():f}"


def rate(value: Any) -> str:
    """The same of what something costs per hour, which may be nothing."""
    amount = _dollars(value)
    if amount < 0:
        raise ValueError(f"must be $0 or more, not {shown(value)}")
    return f"{amount.normalize():f}"


def _dollars(value: Any) -> Decimal:
    text = value.strip().removeprefix("$").replace(",", "") if isinstance(value, str) else value
    number(text)
    try:
        amount = Decimal(str(text))
    except InvalidOperation as error:
        raise ValueError(f"must be an amount of dollars like 5 or $2.50, not {shown(value)}") from error
    if amount > MAX_USD:
        raise ValueError(f"is more than ${MAX_USD:,}, the most that is accepted")
    if amount > -MAX_USD and amount != round(amount, 9):
        raise ValueError(f"{shown(value)} is finer than a nanodollar")
    return amount


def deadline(value: Any) -> str:
    """A deadline as text: `+21600s` after submission, or a time in UTC."""
    if isinstance(value, datetime):
        value = value.isoformat()
    text = value.strip() if isinstance(value, str) else ""
    if text.startswith("+"):
        return f"+{plain(positive_duration(text[1:]))}s"
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"must be a time like 2030-01-31T18:00:00Z, or +6h after submission, not {shown(value)}"
        ) from error
    if when.tzinfo is None:
        raise ValueError(f"{text} says no time zone: add Z for UTC, or an offset like +02:00")
    try:
        return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError as error:
        raise ValueError(f"{text} is no time that a calendar has in UTC") from error


def deadline_ns(text: str, now_ns: int) -> int:
    """The moment of a `deadline` that is submitted at `now_ns`."""
    if text.startswith("+"):
        return now_ns + round(positive_duration(text[1:]) * NS_PER_S)
    since_epoch = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return int(since_epoch // timedelta(microseconds=1)) * 1_000


def deadline_text(at_ns: int) -> str:
    """The `deadline` of a moment, to the microsecond."""
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1_000)
    return when.isoformat().replace("+00:00", "Z")


def plain(value: float) -> str:
    """A number without exponent and without zeros that say nothing."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def shown(value: Any) -> str:
    """A value in a message: short, and by kind where it is not one word or number."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple | set):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
