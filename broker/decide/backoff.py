"""How often something failed → how long to leave it alone."""

from __future__ import annotations

MOST_DOUBLINGS = 60  # longer than any limit; larger powers would overflow


def doubling(first_s: float, before: int, longest_s: float) -> float:
    """Seconds of the pause that comes after `before` others: twice the last one each time, up to the longest."""
    return float(min(first_s * 2.0 ** max(min(before, MOST_DOUBLINGS), 0), longest_s))
