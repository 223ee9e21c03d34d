"""Cells of bills → times, amounts, tags and units; what is repeated in a million rows is understood once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from broker.model.bills import Measure
from broker.model.money import NS_PER_S

POOL_TAG: Final = "broker_pool"
ATTEMPT_TAG: Final = "broker_attempt"
_HOUR: Final = {"hour": Decimal(1), "minute": Decimal(1) / 60, "second": Decimal(1) / 3_600}
_TIME: Final = re.compile(r"(?:(?P<of>.*?)[\s_-]*)?(?P<unit>hours?|hrs?|h|minutes?|mins?|seconds?|secs?|s)")
_OF: Final = {
    "": Measure.UNIT,
    **dict.fromkeys(("instance", "node", "vm", "container", "machine", "compute", "1"), Measure.UNIT),
    **dict.fromkeys(("gpu", "accelerator", "1 gpu"), Measure.GPU),
    **dict.fromkeys(("vcpu", "cpu", "core", "cores", "physical core"), Measure.CPU),
    **dict.fromkeys(("gib", "gb", "gibibyte", "gigabyte"), Measure.MEMORY),
}


@lru_cache(maxsize=4_096)
def _moment(text: str) -> int:
    said = text.strip().removesuffix(" UTC")
    moment = datetime.fromisoformat(said)
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return round(seconds * 1_000_000) * 1_000


def moment(value: Any) -> int:
    """Nanoseconds since the epoch; without a zone it is UTC. Raises ValueError."""
    if isinstance(value, str):
        return _moment(value)
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1_000
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()) * NS_PER_S
    raise ValueError(f"{value!r} is no time")


def amount(value: Any) -> Decimal:
    """A number as it is written; nothing is zero. Raises ValueError for what is none, or is not finite."""
    if value is None or value == "":
        return _ZERO
    try:
        # What was stored as binary is taken as the shortest decimal that means it.
        found = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"{value!r} is no number") from None
    if not found.is_finite():
        raise ValueError(f"{value!r} is no amount")
    return found


_ZERO: Final = Decimal(0)


@lru_cache(maxsize=65_536)
def _tags(text: str) -> Mapping[str, str]:
    found = json.loads(text)
    if isinstance(found, list):
        return pairs(found)
    if not isinstance(found, dict):
        raise ValueError(f"{text[:80]!r} are no tags")
    return {_plain(key): "" if value is None else str(value) for key, value in found.items()}


def tags(value: Any) -> Mapping[str, str]:
    """Tags from a map, JSON of one, or pairs, without the prefixes of providers (user:, user_). Raises ValueError."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        return _tags(value)
    if isinstance(value, Mapping):
        return {_plain(str(key)): "" if each is None else str(each) for key, each in value.items()}
    return pairs(value)


def pairs(found: Any) -> Mapping[str, str]:
    """Tags from (key, value) pairs, or from objects of a key and a value. Raises ValueError."""
    try:
        return {_plain(str(key)): str(value) for key, value in (_pair(each) for each in found)}
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{str(found)[:80]!r} are no tags") from None


def _pair(each: Any) -> tuple[Any, Any]:
    if isinstance(each, Mapping):
        return each["key"], each["value"]
    key, value = each
    return key, value


def _plain(key: str) -> str:
    return key.removeprefix("user:").removeprefix("user_")


@lru_cache(maxsize=1_024)
def hours(unit: str | None) -> tuple[Measure, Decimal] | None:
    """What a unit of quantity counts, and how many hours of it are in one; None for what is no time."""
    match = _TIME.fullmatch((unit or "").strip().lower().replace("·", "-"))
    if match is None:
        return None
    name, of = match["unit"], (match["of"] or "").strip(" -_")
    measure = _OF.get(of)
    factor = _HOUR["hour" if name[0] == "h" else "minute" if name[0] == "m" else "second"]
    return None if measure is None else (measure, factor)
