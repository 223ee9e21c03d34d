"""Names of time zones → time zones."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo

from broker.model.errors import InvalidInput, Problem


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises `InvalidInput`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"there is no time zone {name[:64]!r}: write one as Europe/Berlin or UTC"
        raise InvalidInput(Problem(field="timezone", message=message)) from None
