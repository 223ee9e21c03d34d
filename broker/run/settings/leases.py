"""How several brokers share a database, as configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """After how long a silent broker counts as gone, and what only it can reach as lost."""

    lease_s: float = 15.0  # a broker that has not been heard of for so long is gone
    away_s: float = 600.0  # what only a broker that is gone can reach is lost after this
