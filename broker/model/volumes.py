"""Volumes: named folders that outlive the jobs that use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ON_THIS_MACHINE: Final = "local"  # where volumes of pools on the broker's own machine are


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named folder, which lives in one place."""

    name: str
    place: str  # pools that say the same of their volumes share it
    user: str  # who made it
    created_ns: int


def variable(name: str) -> str:
    """The environment variable in which a job finds where a volume really is."""
    return f"BROKER_VOLUME_{name.upper().replace('-', '_')}"
